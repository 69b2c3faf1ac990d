"""The names of weights in original Grounding DINO files, and in transformers' checkpoints.

The original (github.com/IDEA-Research/GroundingDINO) and transformers hold the same numbers under
other names; the original also keeps query, key and value of its attentions in one matrix. Pure:
names and tensors in, names and tensors out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

Weights = Mapping[str, torch.Tensor]

POINTS = 4
"""Sampling points of a head and level; in every published file, and not to be told from shapes."""

_SWIN = "model.backbone.conv_encoder.model."
_BLOCK = _SWIN + "encoder.layers.*.blocks.*."
_ENCODER = "model.encoder.layers.*."
_DECODER = "model.decoder.layers.*."


def _three(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{part}." for part in ("query", "key", "value"))


RULES: tuple[tuple[str, str | tuple[str, ...]], ...] = (
    # image backbone
    ("backbone.0.patch_embed.proj.", _SWIN + "embeddings.patch_embeddings.projection."),
    ("backbone.0.patch_embed.norm.", _SWIN + "embeddings.norm."),
    ("backbone.0.layers.*.blocks.*.norm1.", _BLOCK + "layernorm_before."),
    ("backbone.0.layers.*.blocks.*.norm2.", _BLOCK + "layernorm_after."),
    ("backbone.0.layers.*.blocks.*.attn.qkv.", _three(_BLOCK + "attention.self.")),
    ("backbone.0.layers.*.blocks.*.attn.proj.", _BLOCK + "attention.output.dense."),
    (
        "backbone.0.layers.*.blocks.*.attn.relative_position_bias_table",
        _BLOCK + "attention.self.relative_position_bias_table",
    ),
    ("backbone.0.layers.*.blocks.*.mlp.fc1.", _BLOCK + "intermediate.dense."),
    ("backbone.0.layers.*.blocks.*.mlp.fc2.", _BLOCK + "output.dense."),
    ("backbone.0.layers.*.downsample.", _SWIN + "encoder.layers.*.downsample."),
    ("backbone.0.norm1.", _SWIN + "hidden_states_norms.stage2."),
    ("backbone.0.norm2.", _SWIN + "hidden_states_norms.stage3."),
    ("backbone.0.norm3.", _SWIN + "hidden_states_norms.stage4."),
    ("input_proj.", "model.input_proj_vision."),
    ("transformer.level_embed", "model.level_embed"),
    # text backbone
    ("bert.embeddings.", "model.text_backbone.embeddings."),
    ("bert.encoder.", "model.text_backbone.encoder."),
    ("feat_map.", "model.text_projection."),
    # encoder: image
    (
        "transformer.encoder.layers.*.self_attn.",
        _ENCODER + "deformable_layer.self_attn.",
    ),
    ("transformer.encoder.layers.*.norm1.", _ENCODER + "deformable_layer.self_attn_layer_norm."),
    ("transformer.encoder.layers.*.linear1.", _ENCODER + "deformable_layer.fc1."),
    ("transformer.encoder.layers.*.linear2.", _ENCODER + "deformable_layer.fc2."),
    ("transformer.encoder.layers.*.norm2.", _ENCODER + "deformable_layer.final_layer_norm."),
    # encoder: text
    (
        "transformer.encoder.text_layers.*.self_attn.in_proj_",
        _three(_ENCODER + "text_enhancer_layer.self_attn."),
    ),
    (
        "transformer.encoder.text_layers.*.self_attn.out_proj.",
        _ENCODER + "text_enhancer_layer.self_attn.out_proj.",
    ),
    ("transformer.encoder.text_layers.*.linear1.", _ENCODER + "text_enhancer_layer.fc1."),
    ("transformer.encoder.text_layers.*.linear2.", _ENCODER + "text_enhancer_layer.fc2."),
    (
        "transformer.encoder.text_layers.*.norm1.",
        _ENCODER + "text_enhancer_layer.layer_norm_before.",
    ),
    (
        "transformer.encoder.text_layers.*.norm2.",
        _ENCODER + "text_enhancer_layer.layer_norm_after.",
    ),
    # encoder: image and text
    ("transformer.encoder.fusion_layers.*.gamma_v", _ENCODER + "fusion_layer.vision_param"),
    ("transformer.encoder.fusion_layers.*.gamma_l", _ENCODER + "fusion_layer.text_param"),
    (
        "transformer.encoder.fusion_layers.*.layer_norm_v.",
        _ENCODER + "fusion_layer.layer_norm_vision.",
    ),
    (
        "transformer.encoder.fusion_layers.*.layer_norm_l.",
        _ENCODER + "fusion_layer.layer_norm_text.",
    ),
    *(
        (
            f"transformer.encoder.fusion_layers.*.attn.{theirs}.",
            f"{_ENCODER}fusion_layer.attn.{ours}.",
        )
        for theirs, ours in (
            ("v_proj", "vision_proj"),
            ("l_proj", "text_proj"),
            ("values_v_proj", "values_vision_proj"),
            ("values_l_proj", "values_text_proj"),
            ("out_v_proj", "out_vision_proj"),
            ("out_l_proj", "out_text_proj"),
        )
    ),
    # choice of the queries
    ("transformer.enc_output.", "model.enc_output."),
    ("transformer.enc_output_norm.", "model.enc_output_norm."),
    ("transformer.enc_out_bbox_embed.", "model.encoder_output_bbox_embed."),
    ("transformer.tgt_embed.", "model.query_position_embeddings."),
    # decoder
    ("transformer.decoder.layers.*.self_attn.in_proj_", _three(_DECODER + "self_attn.")),
    ("transformer.decoder.layers.*.self_attn.out_proj.", _DECODER + "self_attn.out_proj."),
    ("transformer.decoder.layers.*.norm2.", _DECODER + "self_attn_layer_norm."),
    ("transformer.decoder.layers.*.ca_text.in_proj_", _three(_DECODER + "encoder_attn_text.")),
    ("transformer.decoder.layers.*.ca_text.out_proj.", _DECODER + "encoder_attn_text.out_proj."),
    ("transformer.decoder.layers.*.catext_norm.", _DECODER + "encoder_attn_text_layer_norm."),
    ("transformer.decoder.layers.*.cross_attn.", _DECODER + "encoder_attn."),
    ("transformer.decoder.layers.*.norm1.", _DECODER + "encoder_attn_layer_norm."),
    ("transformer.decoder.layers.*.linear1.", _DECODER + "fc1."),
    ("transformer.decoder.layers.*.linear2.", _DECODER + "fc2."),
    ("transformer.decoder.layers.*.norm3.", _DECODER + "final_layer_norm."),
    ("transformer.decoder.norm.", "model.decoder.layer_norm."),
    ("transformer.decoder.ref_point_head.", "model.decoder.reference_points_head."),
    ("bbox_embed.", "bbox_embed."),
)
"""Start of an original name -> start of ours, or of three that share it; `*` is a number."""

NOT_NEEDED = (
    "backbone.0.layers.*.blocks.*.attn.relative_position_index",  # follows from the window's size
    "bert.embeddings.position_ids",  # counts from zero; newer files do without
    "bert.pooler.",  # of the whole caption, which nothing reads
    "label_enc.",  # denoising queries, for training only
    "transformer.decoder.bbox_embed.",  # the same tensors as bbox_embed.
)
"""Starts of the names that an original file may hold and the model does without."""


@dataclass(frozen=True)
class Renamed:
    """Weights under transformers' names, and the original names that no rule knows."""

    weights: dict[str, torch.Tensor]
    left_over: tuple[str, ...]


def _pattern(start: str) -> re.Pattern[str]:
    return re.compile(re.escape(start).replace(r"\*", r"(\d+)") + "(.*)")


_RULES = tuple(
    (_pattern(start), (ours,) if isinstance(ours, str) else ours) for start, ours in RULES
)
_NOT_NEEDED = tuple(_pattern(start) for start in NOT_NEEDED)


def plain(state: Weights) -> dict[str, torch.Tensor]:
    """Return the weights without the prefix that training on several devices leaves.

    >>> list(plain({"module.feat_map.bias": torch.zeros(1)}))
    ['feat_map.bias']
    """
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def rename(state: Weights) -> Renamed:
    """Return weights of an original file under the names of transformers' checkpoints.

    >>> qkv = {"transformer.decoder.layers.0.ca_text.in_proj_bias": torch.arange(3)}
    >>> list(rename(qkv).weights)[0]
    'model.decoder.layers.0.encoder_attn_text.query.bias'
    """
    weights: dict[str, torch.Tensor] = {}
    left_over = []
    for name, tensor in state.items():
        if any(pattern.fullmatch(name) for pattern in _NOT_NEEDED):
            continue
        names = _names(name)
        if not names or (len(names) > 1 and (tensor.ndim == 0 or len(tensor) % len(names))):
            left_over.append(name)
            continue
        # Copies: safetensors refuses tensors that share memory.
        for new, part in zip(
            names, tensor.chunk(len(names)) if names[1:] else [tensor], strict=True
        ):
            weights[new] = part.clone(memory_format=torch.contiguous_format)
    return Renamed(weights, tuple(left_over))


def _names(original: str) -> list[str]:
    for pattern, starts in _RULES:
        found = pattern.fullmatch(original)
        if found:
            *numbers, rest = found.groups()
            return [_filled(start, numbers) + rest for start in starts]
    return []


def _filled(start: str, numbers: list[str]) -> str:
    parts = start.split("*")
    return "".join(a + b for a, b in zip(parts, [*numbers, ""], strict=True))


def architecture(state: Weights) -> dict[str, Any]:
    """Return keywords of a `GroundingDinoConfig`, from the shapes of an original file's weights.

    Keys `backbone_config` and `text_config` hold those of a `SwinConfig` and a `BertConfig`.

    Raises:
        KeyError: a weight that decides is not there.
        ValueError: a weight that decides has another number of dimensions, or none fits.
    """
    levels, width = _shape(state, "transformer.level_embed", 2)
    samples, _ = _shape(state, "transformer.encoder.layers.0.self_attn.attention_weights.weight", 2)
    heads = samples // (levels * POINTS)
    if heads < 2 or width % heads:
        raise ValueError(f"{heads} attention heads over {width} channels")
    decoder_layers = _count(state, "transformer.decoder.layers.")
    return {
        "backbone_config": _swin(state),
        "text_config": _bert(state),
        "d_model": width,
        "num_feature_levels": levels,
        "num_queries": _shape(state, "transformer.tgt_embed.weight", 2)[0],
        "encoder_layers": _count(state, "transformer.encoder.layers."),
        "encoder_attention_heads": heads,
        "encoder_n_points": POINTS,
        "encoder_ffn_dim": _shape(state, "transformer.encoder.layers.0.linear1.weight", 2)[0],
        "decoder_layers": decoder_layers,
        "decoder_attention_heads": heads,
        "decoder_n_points": POINTS,
        "decoder_ffn_dim": _shape(state, "transformer.decoder.layers.0.linear1.weight", 2)[0],
        "decoder_bbox_embed_share": _shared(state, decoder_layers),
        "dropout": 0.0,
    }


def _swin(state: Weights) -> dict[str, Any]:
    start = "backbone.0.layers."
    depths = [_count(state, f"{start}{i}.blocks.") for i in range(_count(state, start))]
    tables = [
        _shape(state, f"{start}{i}.blocks.0.attn.relative_position_bias_table", 2)
        for i in range(len(depths))
    ]
    width, channels, patch, _ = _shape(state, "backbone.0.patch_embed.proj.weight", 4)
    wide, _ = _shape(state, f"{start}0.blocks.0.mlp.fc1.weight", 2)
    window = (math.isqrt(tables[0][0]) + 1) // 2
    return {
        "embed_dim": width,
        "num_channels": channels,
        "patch_size": patch,
        "depths": depths,
        "num_heads": [heads for _, heads in tables],
        "window_size": window,
        "image_size": window * 32,  # 224 and 384 in the published ones
        "mlp_ratio": wide / width,
        "out_indices": [2, 3, 4],
    }


def _bert(state: Weights) -> dict[str, Any]:
    words, width = _shape(state, "bert.embeddings.word_embeddings.weight", 2)
    wide, _ = _shape(state, "bert.encoder.layer.0.intermediate.dense.weight", 2)
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": _count(state, "bert.encoder.layer."),
        "num_attention_heads": max(width // 64, 1),  # as in every BERT of Google's
        "intermediate_size": wide,
        "max_position_embeddings": _shape(state, "bert.embeddings.position_embeddings.weight", 2)[
            0
        ],
        "type_vocab_size": _shape(state, "bert.embeddings.token_type_embeddings.weight", 2)[0],
    }


def _shape(state: Weights, name: str, dimensions: int) -> tuple[int, ...]:
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise ValueError(f"{name} is of shape {list(shape)}")
    return shape


def _count(state: Weights, start: str) -> int:
    numbers = {name[len(start) :].split(".")[0] for name in state if name.startswith(start)}
    return len(numbers)


def _shared(state: Weights, layers: int) -> bool:
    """Tell whether the decoder's layers have one box head between them; the file repeats it."""
    first = {name: tensor for name, tensor in state.items() if name.startswith("bbox_embed.0.")}
    return all(
        torch.equal(tensor, state.get(f"bbox_embed.{i}.{name[len('bbox_embed.0.') :]}", tensor))
        for i in range(1, layers)
        for name, tensor in first.items()
    )
