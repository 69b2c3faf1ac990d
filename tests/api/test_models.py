"""Models without a workspace answer as the commands do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.api.models import (
    LoadedDetector,
    LoadedSegmenter,
    load_detector,
    load_embedder,
    load_segmenter,
    pixels_of,
)
from autolabel.errors import AutolabelError, UsageError
from autolabel.ontology import Ontology
from autolabel.ops.images import read_image
from autolabel.ops.masks import decode, encode
from autolabel.store import Workspace
from autolabel.types import Record
from tests.conftest import SAMPLE, Run

PHOTO = SAMPLE / "blood_cells" / "unlabeled" / "BloodImage_00000.jpg"
PROMPTS = ["RBC=red blood cell", "platelet"]


@pytest.fixture(scope="module")
def detector(random_detector: Path) -> LoadedDetector:
    return load_detector(random_detector, device="cpu")


@pytest.fixture(scope="module")
def segmenter(random_segmenter: Path) -> LoadedSegmenter:
    return load_segmenter(random_segmenter, device="cpu")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that is stored lying on its side."""
    path = tmp_path_factory.mktemp("photos") / "a.png"
    image = Image.open(PHOTO).crop((0, 0, 120, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    return path


def layers(
    run: Run, photo: Path, ws: Path, detector: Path, segmenter: Path, *options: Any
) -> tuple[Record, Record]:
    """What the commands find in one photo: boxes, and boxes with masks."""
    prompts = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    detect = ["detect", photo, "-w", ws, "--model", detector, *prompts, *options]
    assert run(*detect).status == 0
    assert run("refine", ws, "--model", segmenter).status == 0
    return tuple(Workspace(ws).layer(name).read(0)[0] for name in ("detect", "refine"))  # type: ignore[return-value]


def test_what_is_found_is_what_the_commands_find(
    run: Run, photo: Path, tmp_path: Path, random_detector: Path, random_segmenter: Path,
    detector: LoadedDetector, segmenter: LoadedSegmenter,
) -> None:  # fmt: skip
    options = ("--box-threshold", 0.1, "--nms-iou", 0.5)
    boxes, masks = layers(run, photo, tmp_path / "ws", random_detector, random_segmenter, *options)
    found = detector.predict(photo, PROMPTS, box_threshold=0.1, nms_iou=0.5)
    assert len(found) == len(boxes.objects) > 1
    np.testing.assert_array_equal(found.xyxy, boxes.objects.xyxy)
    np.testing.assert_array_equal(found.confidence, boxes.objects.score)
    assert found.data["class_name"].tolist() == list(boxes.objects.label)
    assert found.data["prompt"].tolist() == list(boxes.objects.prompt)
    assert {"RBC", "platelet"} == set(found.data["class_name"].tolist())
    assert found.class_id.tolist() == [("RBC", "platelet").index(n) for n in boxes.objects.label]

    drawn = segmenter.predict(photo, found)
    kept = masks.objects.kept
    assert len(drawn) == len(kept) > 0
    np.testing.assert_array_equal(drawn.mask, decode(list(kept.mask), 120, 90))
    np.testing.assert_array_equal(drawn.confidence, kept.score)
    assert drawn.data["class_name"].tolist() == list(kept.label)
    ious = [scores["sam_iou"] for scores in kept.scores]
    np.testing.assert_allclose(drawn.data["sam_iou"], ious, rtol=1e-6)


def test_the_defaults_are_the_commands(
    photo: Path, detector: LoadedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    find = detector.model.detect

    def watched(images: Any, ontology: Any, min_score: float) -> Any:
        asked.append(min_score)
        return find(images, ontology, min_score)

    monkeypatch.setattr(detector.model, "detect", watched)
    detector.predict(photo, "platelet")
    detector.predict(photo, "platelet", class_threshold={"platelet": 0.2})
    assert asked == [0.35, 0.2]


def test_an_image_is_a_path_a_pil_image_or_an_array(photo: Path, detector: LoadedDetector) -> None:
    by_path = detector.predict(str(photo), "platelet", box_threshold=0)
    assert len(by_path)
    for image in (photo, Image.open(photo), read_image(photo)):
        found = detector.predict(image, "platelet", box_threshold=0)
        np.testing.assert_array_equal(found.xyxy, by_path.xyxy)
        np.testing.assert_array_equal(found.confidence, by_path.confidence)


def test_prompts_are_words_a_mapping_or_an_ontology(photo: Path, detector: LoadedDetector) -> None:
    ontology = Ontology.from_prompts(PROMPTS, ["smudge"])
    found = detector.predict(photo, PROMPTS, negative=["smudge"], box_threshold=0)
    for same in (ontology, ontology.to_mapping()):
        other = detector.predict(photo, same, box_threshold=0)
        np.testing.assert_array_equal(other.xyxy, found.xyxy)
        assert other.data["class_name"].tolist() == found.data["class_name"].tolist()
    fewer = detector.predict(photo, PROMPTS, box_threshold=0)
    assert len(fewer) != len(found), "the negative makes no difference"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"box_threshold": 2}, "box_threshold"),
        ({"box_treshold": 0.2}, "box_treshold"),
        ({"class_threshold": {"cat": 0.2}}, "cat"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    photo: Path, detector: LoadedDetector, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        detector.predict(photo, "platelet", **options)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        "no-such-photo.jpg",
        __file__,
    ],
    ids=["grey", "float", "alpha", "empty", "missing", "not an image"],
)
def test_what_is_not_an_image_is_an_error_with_a_hint(image: Any) -> None:
    with pytest.raises(AutolabelError) as e:
        pixels_of(image)
    assert "uint8" in e.value.hint or "path" in e.value.hint


def test_boxes_may_be_numbers_and_those_without_a_mask_are_left_out(
    photo: Path, segmenter: LoadedSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = [[0, 0, 40, 40], [10, 20, 80, 100]]
    found = segmenter.predict(photo, boxes)
    assert found.mask.shape == (2, 120, 90)
    assert found.data["box"].tolist() == [0, 1]
    assert found.class_id is None
    tight = segmenter.predict(photo, boxes, tighten=True)
    assert not np.array_equal(tight.xyxy, found.xyxy)
    with pytest.raises(UsageError, match="boxes"):
        segmenter.predict(photo, [[1, 2, 3]])

    segment = segmenter.model.segment

    def first_is_empty(*args: Any, **options: Any) -> Any:
        real = segment(*args, **options)
        nothing = encode(np.zeros((1, 120, 90), bool))
        return replace(real, masks=(*nothing, *real.masks[1:]))

    monkeypatch.setattr(segmenter.model, "segment", first_is_empty)
    assert segmenter.predict(photo, boxes).data["box"].tolist() == [1]


def test_embedders_of_both_kinds_are_found_by_what_they_are(
    run: Run, photo: Path, tmp_path: Path
) -> None:
    clip = load_embedder(SAMPLE / "models" / "clip", device="cpu")
    dinov2 = load_embedder(SAMPLE / "models" / "dinov2", device="cpu")
    (one,), (other,) = (loaded.embed_images([photo]) for loaded in (clip, dinov2))
    assert one.shape != other.shape
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert clip.embed_texts(["a cell"]).shape == (1, len(one))
    with pytest.raises(AutolabelError, match="reads no texts"):
        dinov2.embed_texts(["a cell"])
    with pytest.raises(AutolabelError, match="no model"):
        load_embedder("no-such-model")
