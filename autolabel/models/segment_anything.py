"""Meta's own `segment-anything` package, for original `.pth` files (arXiv 2304.02643) and those
that were fine-tuned from them."""

from __future__ import annotations

import pickle

import torch

from autolabel.errors import AutolabelError
from autolabel.models.base import Segmented
from autolabel.models.device import resolve
from autolabel.models.finite import refuse_not_finite
from autolabel.models.sam_masks import in_passes
from autolabel.models.segment_anything_shapes import State, architecture, build, unwrapped
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located


class SegmentAnything:
    """`vit_b`, `vit_l`, `vit_h` or a SAM of another size, as the shapes in the file tell.

    Args:
        located: the `.pth` file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the package or the device is not there, or the file is none of these.
    """

    def __init__(self, located: Located, device: str) -> None:
        try:
            from segment_anything import SamPredictor
        except ImportError as e:
            raise AutolabelError(
                "original .pth files need the package segment-anything",
                hint="pip install 'autolabel[segment-anything]'",
            ) from e
        self.device = resolve(device)
        state = _read(located)
        try:
            # Made without memory, so that the random start of 94 to 641 M numbers costs nothing.
            with torch.device("meta"):
                model = build(architecture(state))
            model.load_state_dict(state, assign=True)
        except (RuntimeError, ValueError, AssertionError) as e:
            raise _not_sam(located, " ".join(str(e).split())[:200]) from e
        refuse_not_finite(state, located.name)
        for name in ("pixel_mean", "pixel_std"):  # constants that the files do not hold
            setattr(model, name, _constant(name))
        self.predictor = SamPredictor(model.to(self.device, torch.float32).eval())

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
        predictor, size_hw = self.predictor, image.shape[:2]
        model = predictor.model
        with torch.inference_mode():
            predictor.set_image(image)
            boxes = predictor.transform.apply_boxes(boxes_xyxy, size_hw)
            prompts = torch.as_tensor(boxes, dtype=torch.float32, device=self.device)
            side = model.image_encoder.img_size
            return in_passes(
                prompts,
                lambda part: self._decode(part, multimask),
                lambda part: model.postprocess_masks(part, predictor.input_size, size_hw),
                side,
                max(side * side, size_hw[0] * size_hw[1]),
                box_agreement,
            )

    def _decode(self, boxes: torch.Tensor, multimask: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mask logits (n, k, h, w) as the decoder gives them, and predicted IoU (n, k)."""
        model = self.predictor.model
        sparse, dense = model.prompt_encoder(points=None, boxes=boxes, masks=None)
        logits, judged = model.mask_decoder(
            image_embeddings=self.predictor.features,
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return logits, judged


def _read(located: Located) -> State:
    try:
        # mmap: the weights are read once, when they go to the device.
        content = torch.load(located.path, map_location="cpu", weights_only=True, mmap=True)
        return unwrapped(content)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as e:
        raise _not_sam(located, " ".join(str(e).split())[:200]) from e


def _not_sam(located: Located, reason: str) -> AutolabelError:
    return AutolabelError(
        f"{located.path} is not an original SAM file: {reason}",
        hint="use one of Meta's sam_vit_b, sam_vit_l or sam_vit_h .pth files, or one that was "
        "fine-tuned from them and saved as weights alone",
    )


def _constant(name: str) -> torch.Tensor:
    """Return ImageNet's mean or deviation in 0..255, as the package sets them."""
    values = {"pixel_mean": (123.675, 116.28, 103.53), "pixel_std": (58.395, 57.12, 57.375)}
    return torch.tensor(values[name]).view(-1, 1, 1)
