"""What an original SAM file is of, read from its weights: wrapping, prefix and architecture.

Fine-tuned files (medical images, microscopy, other image sizes) hold the same weights, often inside
a training checkpoint and with a prefix before their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

State = Mapping[str, torch.Tensor]

WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "net")
"""Keys under which training scripts keep a model's weights."""

WIDTH_KEY = "image_encoder.patch_embed.proj.weight"

DECODER_HEADS = 8
"""Attention heads of the decoder: the one figure that no weight's shape tells."""


@dataclass(frozen=True)
class Architecture:
    """The figures that the package's classes ask for; sizes in pixels, window in patches."""

    width: int
    depth: int
    heads: int
    patch: int
    image: int
    window: int
    global_blocks: tuple[int, ...]
    channels: int
    mask_channels: int
    decoder_depth: int
    decoder_hidden: int
    iou_hidden: int
    candidates: int


def unwrapped(content: Any) -> State:
    """Return the model's weights in what a file holds, under the names that the package gives them.

    Raises:
        ValueError: there are none.
    """
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(v, torch.Tensor) for v in content.values()
    ):
        raise ValueError("it holds no plain weights")
    found = next((k for k in content if isinstance(k, str) and k.endswith(WIDTH_KEY)), None)
    if found is None:
        raise ValueError("its image encoder is of another kind")
    prefix = found.removesuffix(WIDTH_KEY)
    return {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}


def architecture(state: State) -> Architecture:
    """Return the architecture that the weights belong to.

    Raises:
        ValueError: a weight that would tell is missing or has another shape.
    """
    try:
        return _architecture({name: tuple(value.shape) for name, value in state.items()})
    except (KeyError, IndexError) as e:
        raise ValueError(f"{e.args[0] if e.args else 'a weight'} is missing or misshapen") from e


def _architecture(shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
    width, _, patch, _ = shapes[WIDTH_KEY]
    depth = _count(shapes, r"image_encoder\.blocks\.(\d+)\.")
    block = "image_encoder.blocks.{}.attn.rel_pos_h"
    spans = [(shapes[block.format(i)][0] + 1) // 2 for i in range(depth)]
    side = shapes["image_encoder.pos_embed"][1]
    decoder = "mask_decoder.transformer.layers"
    return Architecture(
        width=width,
        depth=depth,
        heads=width // shapes[block.format(0)][1],
        patch=patch,
        image=side * patch,
        # Blocks within windows know relative places as far as a window, the others farther.
        window=min(spans),
        global_blocks=tuple(i for i, span in enumerate(spans) if span > min(spans)),
        channels=shapes["image_encoder.neck.0.weight"][0],
        mask_channels=shapes["prompt_encoder.mask_downscaling.3.weight"][0],
        decoder_depth=_count(shapes, r"mask_decoder\.transformer\.layers\.(\d+)\."),
        decoder_hidden=shapes[f"{decoder}.0.mlp.lin1.weight"][0],
        iou_hidden=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
        candidates=shapes["mask_decoder.mask_tokens.weight"][0] - 1,
    )


def _count(names: Mapping[str, Any], pattern: str) -> int:
    """Tell how many numbers a part of the names runs through, from 0."""
    seen = {int(m.group(1)) for name in names if (m := re.match(pattern, name))}
    return len(seen)


# Long: the figures of three parts, one to a line.
def build(found: Architecture) -> Any:
    """Return the package's `Sam` of an architecture, its weights still to come.

    Raises:
        ImportError: the package is not there.
    """
    from functools import partial

    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    side = found.image // found.patch
    encoder = ImageEncoderViT(
        img_size=found.image,
        patch_size=found.patch,
        embed_dim=found.width,
        depth=found.depth,
        num_heads=found.heads,
        out_chans=found.channels,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=found.window,
        global_attn_indexes=found.global_blocks,
    )
    prompts = PromptEncoder(
        embed_dim=found.channels,
        image_embedding_size=(side, side),
        input_image_size=(found.image, found.image),
        mask_in_chans=found.mask_channels,
    )
    decoder = MaskDecoder(
        transformer_dim=found.channels,
        transformer=TwoWayTransformer(
            depth=found.decoder_depth,
            embedding_dim=found.channels,
            mlp_dim=found.decoder_hidden,
            num_heads=DECODER_HEADS,
        ),
        num_multimask_outputs=found.candidates,
        iou_head_hidden_dim=found.iou_hidden,
    )
    return Sam(encoder, prompts, decoder)
