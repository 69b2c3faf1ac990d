"""Models by themselves, without a workspace: the same names, options and answers as the commands'.

An image is a path, a `PIL.Image`, whose EXIF orientation is applied, or an upright RGB array, uint8
(height, width, 3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from autolabel import registry
from autolabel.api.detections import to_supervision
from autolabel.config import DetectConfig, RefineConfig, build
from autolabel.errors import AutolabelError, UsageError
from autolabel.models.base import Detector, Embedder, ImageTextEmbedder, Segmenter
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.ops.crops import square_crop
from autolabel.ops.images import ImageError, read_image, upright
from autolabel.stages.detect import labels_in
from autolabel.stages.refine import masks_of
from autolabel.types import Objects

ImageLike = str | os.PathLike[str] | Image.Image | Pixels
Prompts = str | Sequence[str] | Mapping[str, Any] | Ontology


class LoadedDetector:
    """A detector that is ready; `load_detector` makes it.

    Attributes:
        model: the adapter, a `autolabel.models.base.Detector`.
    """

    def __init__(self, model: Detector) -> None:
        self.model = model

    def predict(self, image: ImageLike, prompts: Prompts, **options: Any) -> Any:
        """Find what the prompts name, as `autolabel detect` does.

        Args:
            image: see this module.
            prompts: as of `--prompt`: ``"cat"``, or several, each ``"cat"`` or ``"CLASS=prompt,
                prompt"``; or an ontology, as a mapping or an `autolabel.ontology.Ontology`.
            options: those of `DetectConfig`: `box_threshold`, `class_threshold`, `nms_iou`,
                `negative`.

        Returns:
            `supervision.Detections`, best first; see `autolabel.api.detections.to_supervision`.

        Raises:
            UsageError: an option or a prompt is wrong.
            AutolabelError: the image cannot be read, or the model cannot read the prompts.
        """
        given: dict[str, Any] = {}
        if isinstance(prompts, Mapping):
            given["ontology"] = dict(prompts)
        elif not isinstance(prompts, Ontology):
            given["prompt"] = prompts
        config = build(DetectConfig, {**options, **given}, flags=False)
        if isinstance(prompts, Ontology):
            negatives = (*prompts.negatives, *config.negative)
            ontology = Ontology(prompts.classes, negatives)
        else:
            ontology = config.resolve_ontology()
        pixels = pixels_of(image)
        (found,) = labels_in([pixels], self.model, ontology, config)
        return to_supervision(found, ontology.names, *pixels.shape[:2])


class LoadedSegmenter:
    """A segmenter that is ready; `load_segmenter` makes it.

    Attributes:
        model: the adapter, a `autolabel.models.base.Segmenter`.
    """

    def __init__(self, model: Segmenter) -> None:
        self.model = model

    def predict(self, image: ImageLike, boxes: Any, **options: Any) -> Any:
        """Find what boxes are around, as `autolabel refine` does.

        Args:
            image: see this module.
            boxes: xyxy in pixels, half-open, (n, 4), or `supervision.Detections`.
            options: those of `RefineConfig`: `multimask`, `box_agreement`, `box_margin`,
                `min_speck`, `fill_holes`, `tighten`.

        Returns:
            `supervision.Detections` with a mask, bool (n, height, width), for each box that the
            model finds something in, in their order; classes and confidence are those given.
            `data` has sam_iou, sam_stability and box, the place of the box among those given.

        Raises:
            UsageError: an option or a box is wrong.
            AutolabelError: the image cannot be read.
        """
        config = build(RefineConfig, options, flags=False)
        pixels = pixels_of(image)
        given = boxes if hasattr(boxes, "xyxy") else None
        try:
            xyxy = np.asarray(boxes if given is None else given.xyxy, np.float32).reshape(-1, 4)
            none = np.ones(len(xyxy), np.float32)
            objects = Objects.create([""] * len(xyxy), none, xyxy)
        except ValueError as e:
            raise UsageError(
                f"the boxes are wrong: {e}", hint="give (n, 4) numbers: x1, y1, x2, y2 in pixels"
            ) from e
        refined = masks_of(objects, pixels, self.model, config)
        place = np.flatnonzero(refined.keep)
        found = to_supervision(refined.kept, [""], *pixels.shape[:2])
        found.data = {} if given is None else dict(given[place].data)
        for name in ("sam_iou", "sam_stability"):
            figures = [scores[name] for scores in refined.kept.scores]
            found.data[name] = np.array(figures, np.float32)
        found.data["box"] = place
        found.class_id = None if given is None else given[place].class_id
        found.confidence = None if given is None else given[place].confidence
        return found


class LoadedEmbedder:
    """An embedder that is ready; `load_embedder` makes it.

    Attributes:
        model: the adapter, a `autolabel.models.base.Embedder`.
    """

    def __init__(self, model: Embedder) -> None:
        self.model = model

    def embed_images(self, images: Sequence[ImageLike]) -> Vectors:
        """Embed whole images, as `autolabel embed` does: each is padded to a square.

        Returns:
            float32 (n, d), each row of length one.

        Raises:
            AutolabelError: an image cannot be read.
        """
        pixels = [pixels_of(image) for image in images]
        return self.model.embed_images(
            [square_crop(p, [0, 0, p.shape[1], p.shape[0]], 0) for p in pixels]
        )

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts, float32 (n, d), each row of length one; near the images that they describe.

        Raises:
            AutolabelError: the model reads no texts, or a text is longer than it reads.
        """
        model: Embedder | ImageTextEmbedder = self.model
        if not hasattr(model, "embed_texts"):
            raise AutolabelError(
                "this embedder reads no texts", hint="use one of the task image-text, as clip"
            )
        vectors: Vectors = model.embed_texts(texts)
        return vectors


def load_detector(model: str | Path, device: str = "auto") -> LoadedDetector:
    """Load a detector.

    Args:
        model: as of `autolabel detect --model`: a registered name, a hub id, a local folder or an
            original file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: there is no such model, or it does not load.

    Examples:
        >>> detector = load_detector("sample_data/models/detector")
        >>> photo = "sample_data/blood_cells/unlabeled/BloodImage_00000.jpg"
        >>> found = detector.predict(photo, ["red blood cell", "platelet"], box_threshold=0.3)
        >>> sorted(set(found.data["class_name"].tolist()))
        ['red blood cell']
    """
    return LoadedDetector(registry.load(registry.locate("detector", str(model)), device))


def load_segmenter(model: str | Path, device: str = "auto") -> LoadedSegmenter:
    """Load a segmenter.

    Args:
        model: as of `autolabel refine --model`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: there is no such model, or it does not load.

    Examples:
        >>> segmenter = load_segmenter("sample_data/models/segmenter")
        >>> photo = "sample_data/blood_cells/unlabeled/BloodImage_00000.jpg"
        >>> segmenter.predict(photo, [[0, 0, 80, 90]]).mask.shape
        (1, 480, 640)
    """
    return LoadedSegmenter(registry.load(registry.locate("segmenter", str(model)), device))


def load_embedder(model: str | Path, device: str = "auto") -> LoadedEmbedder:
    """Load an embedder of images, and of texts where the model reads them.

    Args:
        model: as of `autolabel filter --clip` and `--dinov2`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: there is no such model, or it does not load.

    Examples:
        >>> embedder = load_embedder("sample_data/models/dinov2")
        >>> embedder.embed_images(["sample_data/blood_cells/unlabeled/BloodImage_00000.jpg"]).shape
        (1, 96)
    """
    try:
        located = registry.locate("image-text", str(model))
        registry.adapter_of(located)
    except AutolabelError as e:
        try:
            located = registry.locate("image", str(model))
            registry.adapter_of(located)
        except AutolabelError:
            raise e from None
    return LoadedEmbedder(registry.load(located, device))


def pixels_of(image: ImageLike) -> Pixels:
    """Return an image as upright RGB, uint8 (height, width, 3).

    Raises:
        AutolabelError: it cannot be read, or is an array of another kind.
    """
    try:
        if isinstance(image, Image.Image):
            return upright(image)
        if not isinstance(image, np.ndarray):
            return read_image(image)
    except ImageError as e:
        named = image if isinstance(image, (str, os.PathLike)) else "the image"
        raise AutolabelError(f"{named}: {e}", hint="give a path, a PIL image or an array") from e
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise AutolabelError(
            f"the image is an array {image.dtype} {image.shape}",
            hint="give RGB, uint8 (height, width, 3); of BGR, as OpenCV reads, image[..., ::-1]",
        )
    return np.ascontiguousarray(image)
