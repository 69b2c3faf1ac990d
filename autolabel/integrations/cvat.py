"""Functions that CVAT's own tools run: boxes and masks into a task, or a mask for a box.

    cvat-cli task auto-annotate 7 --function-module autolabel.integrations.cvat \\
        -p model=str:grounding-dino-tiny -p prompts=str:"cat;dog" -p segmenter=str:sam-vit-base

The interface is https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/; it needs nothing of the
server. `create` is what CVAT's loader calls, with the parameters that ``-p`` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autolabel import registry
from autolabel.config import DetectConfig, RefineConfig, build
from autolabel.datasets.cvat import to_runs
from autolabel.errors import AutolabelError, UsageError
from autolabel.integrations.by_name import LabelsByName
from autolabel.models.base import Segmenter
from autolabel.ops.arrays import Pixels
from autolabel.ops.images import upright
from autolabel.ops.masks import crop_of
from autolabel.ops.polygons import one_ring, outlines
from autolabel.stages.detect import labels_in
from autolabel.stages.refine import masks_of
from autolabel.types import Objects

_SCORE = 0
"""Id of the attribute of each label that holds the score."""


def create(
    *,
    model: str | None = None,
    prompts: str = "",
    segmenter: str | None = None,
    workspace: str | None = None,
    negative: str = "",
    box_threshold: float | None = None,
    nms_iou: float | None = None,
    scores: bool = False,
    device: str = "auto",
) -> Detection | Interaction:
    """Return what CVAT calls for each image: a detection function or, of a segmenter alone, a mask.

    Args:
        model: as of `autolabel detect --model`.
        prompts: as of `--prompt`, several between semicolons: ``cat;RBC=red blood cell``.
        segmenter: as of `autolabel refine --model`; boxes become masks. Without prompts it is an
            interaction function: a person draws a box, and gets the mask of what is in it.
        workspace: whose newest labels are the answer for images of their names; others go to the
            model, if prompts are given.
        negative: prompts whose boxes are dropped, between semicolons.
        box_threshold, nms_iou: as of `autolabel detect`; ``--conf-threshold`` comes before.
        scores: whether each shape has an attribute `score`; the task's labels must have it too.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        UsageError: there is nothing to look for, or an option is wrong.
        AutolabelError: a model or the workspace cannot be read, or cvat-sdk is not installed.
    """
    shaper = None if segmenter is None else _load("segmenter", segmenter, device)
    if shaper is not None and not prompts and workspace is None:
        return Interaction(shaper)
    asked = {"model": model, "box_threshold": box_threshold, "nms_iou": nms_iou}
    given = {key: value for key, value in asked.items() if value is not None}
    texts = {"prompt": _split(prompts), "negative": _split(negative)}
    config = build(DetectConfig, given | texts, flags=False)
    labels = None if workspace is None else LabelsByName(Path(workspace))
    if not prompts and labels is None:
        raise UsageError("nothing to look for", hint='add -p prompts=str:"cat;dog"')
    ontology = config.resolve_ontology() if prompts else None
    detector = _load("detector", config.model, device) if prompts else None

    def find(pixels: Pixels, name: str, lowest: float | None) -> Objects:
        known = None if labels is None else labels.of(name, pixels.shape[1], pixels.shape[0])
        if known is not None:
            return known[known.score >= (lowest or 0)]
        if detector is None or ontology is None:
            raise AutolabelError(
                f"{name} is not an image of {workspace}", hint='add -p prompts=str:"cat;dog"'
            )
        options = config if lowest is None else config.model_copy(update={"box_threshold": lowest})
        (found,) = labels_in([pixels], detector, ontology, options)
        return found if shaper is None else masks_of(found, pixels, shaper, RefineConfig()).kept

    names = [*(labels.names if labels else ()), *(ontology.names if ontology else ())]
    kind = "any" if labels is not None else "rectangle" if shaper is None else "mask"
    return Detection(find, list(dict.fromkeys(names)), kind, scores=scores)


def _split(text: str) -> list[str]:
    return [one.strip() for one in text.split(";") if one.strip()]


def _load(task: str, model: str, device: str) -> Any:
    return registry.load(registry.locate(task, model), device)


def _sdk() -> Any:
    try:
        from cvat_sdk import auto_annotation
    except ImportError as e:
        raise AutolabelError(
            f"cvat-sdk cannot be used: {e}", hint="pip install 'autolabel[cvat]'"
        ) from e
    return auto_annotation


class Detection:
    """A detection function.

    Args:
        find: pixels, name of the frame and lowest score -> objects.
        names: of the classes; their places are the ids of the labels.
        kind: what the shapes are: `rectangle`, `mask`, or `any` for both.
        scores: whether shapes have an attribute `score`.

    Attributes:
        spec: what CVAT asks first: the labels.
    """

    def __init__(
        self,
        find: Callable[[Pixels, str, float | None], Objects],
        names: Sequence[str],
        kind: str,
        *,
        scores: bool = False,
    ) -> None:
        self._cvat, self._find, self._scores = _sdk(), find, scores
        self._ids = {name: i for i, name in enumerate(names)}
        more = [self._cvat.text_attribute_spec("score", _SCORE)] if scores else []
        labels = [
            self._cvat.label_spec(name, i, type=kind, attributes=list(more))
            for name, i in self._ids.items()
        ]
        self.spec = self._cvat.DetectionFunctionSpec(labels=labels)

    def detect(self, context: Any, image: Any) -> list[Any]:
        """Return the shapes of an image.

        Args:
            context: has `frame_name`, `conf_threshold` and `conv_mask_to_poly`.
            image: a `PIL.Image`.
        """
        pixels = upright(image)
        found = self._find(pixels, context.frame_name, context.conf_threshold)
        return [self._shape(found[i : i + 1], pixels, context) for i in range(len(found))]

    def _shape(self, one: Objects, pixels: Pixels, context: Any) -> Any:
        (label,), (mask,), (height, width) = one.label, one.mask, pixels.shape[:2]
        attributes = []
        if self._scores:
            attributes = [_attribute(_SCORE, one.score[0])]
        if mask is None:
            make, points = self._cvat.rectangle, one.xyxy[0].astype(float).tolist()
        elif context.conv_mask_to_poly:
            ring = one_ring(outlines(mask, height, width))
            make, points = self._cvat.polygon, np.round(ring, 2).ravel().tolist()
        else:
            make, points = self._cvat.mask, to_points(mask, height, width)
        return make(self._ids[label], points, attributes=attributes)


class Interaction:
    """An interaction function: a person draws a box, and gets the mask of what is in it.

    Points that a person sets within the object widen the box where they lie outside of it.

    Args:
        segmenter: turns boxes into masks.

    Attributes:
        spec: what CVAT asks first: which prompts are needed.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._cvat, self._segmenter = _sdk(), segmenter
        self.spec = self._cvat.InteractionFunctionSpec(min_pos_points=0, min_bounding_boxes=1)

    def preprocess_image(self, context: Any, image: Any) -> Pixels:
        """Return upright RGB of a `PIL.Image`."""
        return upright(image)

    def detect(self, context: Any, pp_image: Pixels, prompts: Any) -> list[Any]:
        """Return one mask, or none where the model finds nothing in the box."""
        corners = np.array([*(prompts.bounding_box or ()), *prompts.pos_points], np.float32)
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        asked = Objects.create([""], [1], [box])
        found = masks_of(asked, pp_image, self._segmenter, RefineConfig()).kept
        height, width = pp_image.shape[:2]
        confidence = self._cvat.InteractionResultAttributes.CONFIDENCE
        return [
            self._cvat.InteractionResultShape(
                type="mask",
                points=to_points(mask, height, width),
                attributes=[_attribute(confidence, min(max(scores["sam_iou"], 0.0), 1.0))],
            )
            for mask, scores in zip(found.mask, found.scores, strict=True)
        ]


def _attribute(spec_id: int, value: float) -> Any:
    from cvat_sdk import models

    return models.AttributeValRequest(spec_id=int(spec_id), value=f"{value:.4g}")


def to_points(mask: bytes, height: int, width: int) -> list[int]:
    """Return a mask that is not empty as CVAT's servers hold it: runs, then its box's corners.

    The runs go row by row through the box, background first; the last corner is a pixel's.

    >>> to_points(b"21201", 3, 3)
    [0, 2, 0, 2, 1, 2]
    """
    crop, top, left = crop_of(mask, height, width)
    rows, columns = crop.shape
    return [*to_runs(crop.ravel()), left, top, left + columns - 1, top + rows - 1]
