"""SAM 2, 2.1 and 3 from `.pt` files, by ultralytics' classes (arXiv 2408.00714, 2511.16719).

The files that ultralytics publishes, `sam2_t.pt` to `sam2.1_l.pt` and `sam3.pt`, hold Meta's own
numbers under Meta's own names, so that Meta's `.pt` files load as well. Of a file for videos only
the part for single images is built. An image is brought to a square without padding, as by Meta's
code; ultralytics' predictors pad it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from autolabel.errors import AutolabelError
from autolabel.models.base import Segmented
from autolabel.models.device import resolve
from autolabel.models.finite import refuse_not_finite
from autolabel.models.mobile_sam import DEVIATION, MEAN
from autolabel.models.sam_masks import in_passes
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located

TRUNK = "image_encoder.trunk."
KNOWN_BY = (f"{TRUNK}patch_embed.proj.weight", "tracker.", "sam_mask_decoder.")
"""A weight of SAM 2, the prefix of SAM 3's tracker, and what either decodes masks with."""

BUILDERS: Mapping[tuple[int, int], str] = {
    (96, 12): "build_sam2_t",
    (96, 16): "build_sam2_s",
    (112, 24): "build_sam2_b",
    (144, 48): "build_sam2_l",
}
"""Width and number of the encoder's blocks -> what builds the network."""

SIDES = {2: 1024, 3: 1008}
"""Generation -> pixels of the square that the encoder sees."""

PARTS = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.", "no_mem_embed")
"""What segments a single image."""

RENAMED = (
    ("tracker.model.interactive_", "tracker."),  # SAM 3.1
    ("tracker.model.interactivity_", "tracker."),
    ("interactive_convs", "sam2_convs"),
    ("detector.backbone.vision_backbone.", "image_encoder.vision_backbone."),
    ("tracker.", ""),
)
"""From the names in SAM 3's files to those of its network for boxes."""

State = Mapping[str, torch.Tensor]


def generation(state: Mapping[str, Any]) -> int:
    """Return 2 or 3 for the weights of SAM 2 or 3; 0 for others."""
    if KNOWN_BY[0] in state:
        return 2
    tracked = any(str(name).startswith(KNOWN_BY[1]) for name in state)
    return 3 if tracked and any(KNOWN_BY[2] in str(name) for name in state) else 0


class UltralyticsSam2:
    """A network for boxes on single images, of the second or third generation.

    Args:
        state: the weights.
        located: the file that they are from, for errors.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there, or weights are missing or left over.
    """

    def __init__(self, state: State, located: Located, device: str) -> None:
        self.device = resolve(device)
        self.generation = generation(state)
        self.model = _sam2(state, located) if self.generation == 2 else _sam3()
        self.side = SIDES[self.generation]
        _load(self.model, _renamed(state) if self.generation == 3 else state, located)
        self.model.to(self.device, torch.float32).eval()
        self.model.set_imgsz((self.side, self.side))

    def segment(
        self,
        image: Pixels,
        boxes_xyxy: Vectors,
        *,
        multimask: bool,
        box_agreement: float,
    ) -> Segmented:
        """See `autolabel.models.base.Segmenter.segment`."""
        if len(boxes_xyxy) == 0:
            return Segmented.none()
        height, width = image.shape[:2]
        factor = np.array([self.side / width, self.side / height] * 2, np.float32)
        boxes = torch.from_numpy(boxes_xyxy * factor).to(self.device)
        with torch.inference_mode():
            features = self._encode(image)
            return in_passes(
                boxes,
                lambda part: self._decode(features, part, multimask),
                lambda part: F.interpolate(
                    part, (height, width), mode="bilinear", align_corners=False
                ),
                self.side,
                height * width,
                box_agreement,
            )

    def _encode(self, image: Pixels) -> list[torch.Tensor]:
        """Return features of an image at three sizes, the finest first."""
        pixels = torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1).float()[None]
        pixels = F.interpolate(pixels, (self.side, self.side), mode="bilinear", antialias=True)
        mean, deviation = (MEAN, DEVIATION) if self.generation == 2 else (127.5, 127.5)
        pixels = (pixels - torch.as_tensor(mean).to(self.device)) / torch.as_tensor(deviation).to(
            self.device
        )
        seen = self.model.forward_image(pixels)
        _, features, _, sizes = self.model._prepare_backbone_features(seen)
        features[-1] = features[-1] + self.model.no_mem_embed  # an image without a past
        return [
            one.permute(1, 2, 0).reshape(1, -1, *size)
            for one, size in zip(features, sizes, strict=True)
        ]

    def _decode(
        self, features: list[torch.Tensor], boxes: torch.Tensor, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mask logits (n, k, h, w) as the decoder gives them, and predicted IoU (n, k)."""
        prompts = self.model.sam_prompt_encoder
        corners = torch.tensor([[2, 3]], dtype=torch.int32, device=self.device)
        sparse, dense = prompts(
            points=(boxes.reshape(-1, 2, 2), corners.expand(len(boxes), -1)),
            boxes=None,
            masks=None,
        )
        logits, judged, _, _ = self.model.sam_mask_decoder(
            image_embeddings=features[-1],
            image_pe=prompts.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=True,
            high_res_features=features[:-1],
        )
        return logits, judged


def _sam2(state: State, located: Located) -> Any:
    """Return the network of the size that the weights' shapes tell, with a random start."""
    width = int(state[KNOWN_BY[0]].shape[0])
    blocks = {name.split(".")[3] for name in state if name.startswith(f"{TRUNK}blocks.")}
    if (width, len(blocks)) not in BUILDERS:
        raise _refused(
            located, f"an encoder of {len(blocks)} blocks of {width} is of no known size"
        )
    module = importlib.import_module("ultralytics.models.sam.build")
    return getattr(module, BUILDERS[width, len(blocks)])()


def _sam3() -> Any:
    """Return the network for boxes, with a random start; no file is read by ultralytics."""
    module: Any = importlib.import_module("ultralytics.models.sam.build_sam3")
    theirs = module._load_checkpoint
    module._load_checkpoint = lambda model, *_, **__: model
    try:
        return module.build_interactive_sam3("")
    finally:
        module._load_checkpoint = theirs


def _renamed(state: State) -> State:
    names: dict[str, str] = {}
    for name in state:
        new = name
        for old, replacement in RENAMED:
            new = new.replace(old, replacement)
        names[name] = new
    return {names[name]: tensor for name, tensor in state.items()}


def _load(model: Any, state: State, located: Located) -> None:
    """Fill what segments single images; nothing of it may be missing or left over."""
    given = {name: tensor for name, tensor in state.items() if name.startswith(PARTS)}
    needed = {name for name in model.state_dict() if name.startswith(PARTS)}
    lacking, unknown = sorted(needed - set(given)), sorted(set(given) - needed)
    if lacking or unknown:
        what = f"it lacks {lacking[0]}" if lacking else f"it has no place for {unknown[0]}"
        raise _refused(located, what)
    refuse_not_finite(given, located.name)
    try:
        model.load_state_dict(given, strict=False)
    except RuntimeError as e:
        raise _refused(located, " ".join(str(e).split())[:200]) from e


def _refused(located: Located, reason: str) -> AutolabelError:
    return AutolabelError(
        f"{located.name} is not a SAM 2 or 3: {reason}",
        hint="use sam2_t.pt … sam2.1_l.pt or sam3.pt as published, or a name from "
        "`autolabel models`",
    )
