"""A plugin of one file keeps the contracts and is run by the commands; a faulty one is caught."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.models.base import Segmented
from autolabel.ops.masks import encode
from autolabel.store import Workspace
from autolabel.testing import ContractError, check_detector, check_embedder, check_segmenter
from autolabel.testing.detector import DETECTOR_CHECKS
from autolabel.testing.embedder import EMBEDDER_CHECKS, TEXT_CHECKS
from autolabel.testing.segmenter import SEGMENTER_CHECKS
from autolabel.types import Objects
from tests.conftest import Run, make_photos
from tests.plugins import install, installed
from tests.testing.toys import Boxes, Ellipses, Means, unit

ENTRIES = {"toy-detector": "DETECTOR", "toy-segmenter": "SEGMENTER", "toy-embedder": "EMBEDDER"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with the package, which is installed, and with its checkpoints."""
    code = Path(__file__).with_name("toys.py").read_text("utf-8")
    entries = {name: f"toys:{attribute}" for name, attribute in ENTRIES.items()}
    install(tmp_path, "toys", code, {"autolabel.models": entries})
    for kind in ("boxes", "ellipses", "means"):
        (tmp_path / kind).mkdir()
        config = json.dumps({"model_type": kind, "smallest": 0.2})
        (tmp_path / kind / "config.json").write_text(config, "utf-8")
    with installed(tmp_path):
        yield tmp_path


def test_plugins_of_one_file_keep_the_contracts(home: Path) -> None:
    check_detector(home / "boxes")
    check_segmenter(home / "ellipses")
    check_embedder(home / "means")


def test_a_plugins_detector_and_segmenter_are_run_by_the_commands(home: Path, run: Run) -> None:
    make_photos(home / "photos", 2, (80, 40))
    ws = home / "ws"
    detect = ("detect", home / "photos", "-w", ws, "--prompt", "cat", "--prompt", "dog")
    done = run(*detect, "--model", home / "boxes", "--box-threshold", 0.1)
    assert done.status == 0, done.err
    done = run("refine", ws, "--model", home / "ellipses")
    assert done.status == 0, done.err
    for record in Workspace(ws).layer("refine").read(0):
        assert sorted(record.objects.label) == ["cat", "dog"]
        assert all(record.objects.mask)
        assert (record.objects.xyxy[:, :2] == 0).all()


class Lowered(Boxes):
    """Spells prompts its own way."""

    def one(self, *args: Any) -> Objects:
        found = super().one(*args)
        found.prompt[:] = [prompt.lower() for prompt in found.prompt]
        return found


class First(Boxes):
    """Knows one class."""

    def one(self, *args: Any) -> Objects:
        return super().one(*args)[:1]


class AnyScore(Boxes):
    """Does not hear the lowest score."""

    def one(self, image: Any, ontology: Any, min_score: float) -> Objects:
        return super().one(image, ontology, 0.0)


class OtherClass(Boxes):
    """Gives boxes to the class of another prompt."""

    def one(self, *args: Any) -> Objects:
        found = super().one(*args)
        return replace(found, label=np.roll(found.label, 1))


class Percent(Boxes):
    """Scores out of a hundred."""

    def one(self, *args: Any) -> Objects:
        found = super().one(*args)
        return replace(found, score=found.score * 100)


class Evidence(Boxes):
    """Notes another score than it gives."""

    def one(self, *args: Any) -> Objects:
        found = super().one(*args)
        return replace(found, score=found.score / 2)


class Neighbours(Boxes):
    """Scales boxes to the largest photo of the batch."""

    def detect(self, images: Any, *args: Any) -> list[Objects]:
        widest = max(image.shape[1] for image in images)
        found = super().detect(images, *args)
        return [
            replace(o, xyxy=o.xyxy * np.float32(i.shape[1] / widest))
            for o, i in zip(found, images, strict=True)
        ]


class Reversed(Boxes):
    """Answers in another order."""

    def detect(self, *args: Any) -> list[Objects]:
        return super().detect(*args)[::-1]


class Blind(Boxes):
    """Finds the same in every photo."""

    def one(self, image: Any, *args: Any) -> Objects:
        return super().one(np.zeros((2, 2, 3), np.uint8), *args)


class Scribbler(Boxes):
    """Writes to the photos."""

    def one(self, image: Any, *args: Any) -> Objects:
        found = super().one(image, *args)
        image[:] = 0
        return found


class OtherSize(Boxes):
    """Gives masks of another photo's size."""

    def one(self, *args: Any) -> Objects:
        found = super().one(*args)
        found.mask[:] = [encode(np.ones((1, 7, 9), bool))[0]] * len(found)
        return found


class NoMask(Boxes):
    """Gives masks without a pixel."""

    def one(self, image: Any, *args: Any) -> Objects:
        found = super().one(image, *args)
        found.mask[:] = [encode(np.zeros((1, *image.shape[:2]), bool))[0]] * len(found)
        return found


def located(tmp_path: Path) -> Any:
    from autolabel.registry import Located

    (tmp_path / "config.json").write_text('{"smallest": 0.2}', "utf-8")
    return Located("detector", "toy", tmp_path, "sha256:0")


def passes(checks: Any, adapter: Any) -> None:
    for check in checks:
        check(adapter)


@pytest.mark.parametrize(
    "faulty",
    [
        Lowered, First, AnyScore, OtherClass, Percent, Evidence, Neighbours, Reversed, Blind,
        Scribbler, OtherSize, NoMask,
    ],
)  # fmt: skip
def test_a_faulty_detector_is_caught(tmp_path: Path, faulty: Callable[..., Boxes]) -> None:
    with pytest.raises(ContractError):
        passes(DETECTOR_CHECKS, faulty(located(tmp_path), "cpu"))


class Remembers(Ellipses):
    """Adds what it drew before."""

    seen = np.zeros(0)

    def segment(self, image: Any, boxes_xyxy: Any, **options: Any) -> Segmented:
        found = super().segment(image, boxes_xyxy, **options)
        before, self.seen = self.seen, boxes_xyxy.copy()
        same = before.shape == self.seen.shape and (before == self.seen).all()
        iou = found.iou * np.float32(1 if same else 0.5 + 0.4 / (1 + before.size))
        return replace(found, iou=iou)


class Padded(Ellipses):
    """Masks with a margin."""

    def segment(self, image: Any, boxes_xyxy: Any, **options: Any) -> Segmented:
        return super().segment(np.pad(image, ((0, 1), (0, 0), (0, 0))), boxes_xyxy, **options)


class Double(Ellipses):
    """Figures of another precision."""

    def segment(self, image: Any, boxes_xyxy: Any, **options: Any) -> Segmented:
        found = super().segment(image, boxes_xyxy, **options)
        return replace(found, iou=found.iou.astype(float))


class Full(Ellipses):
    """Every mask is the whole photo."""

    def segment(self, image: Any, boxes_xyxy: Any, **options: Any) -> Segmented:
        found = super().segment(image, boxes_xyxy, **options)
        full = encode(np.ones((len(boxes_xyxy), *image.shape[:2]), bool))
        return replace(found, masks=tuple(full))


@pytest.mark.parametrize("faulty", [Remembers, Padded, Double, Full])
def test_a_faulty_segmenter_is_caught(tmp_path: Path, faulty: Callable[..., Ellipses]) -> None:
    with pytest.raises(ContractError):
        passes(SEGMENTER_CHECKS, faulty(located(tmp_path), "cpu"))


class Long(Means):
    """Vectors of any length."""

    def embed_images(self, crops: Any) -> Any:
        return super().embed_images(crops) * np.float32(2)


class Centred(Means):
    """Vectors from the middle of the batch."""

    def embed_images(self, crops: Any) -> Any:
        vectors = super().embed_images(crops)
        return unit(list(vectors - vectors.mean(axis=0) / 9)) if len(crops) else vectors


class Same(Means):
    """One vector for all crops."""

    def embed_images(self, crops: Any) -> Any:
        return super().embed_images([np.ones((2, 2, 3))] * len(crops))


class Deaf(Means):
    """One vector for all texts."""

    def embed_texts(self, texts: Any) -> Any:
        return super().embed_texts(["a"] * len(texts))


class NoTexts(Means):
    """Fails without texts."""

    def embed_texts(self, texts: Any) -> Any:
        return super().embed_texts(texts) if texts else np.zeros(0, np.float32)


@pytest.mark.parametrize("faulty", [Long, Centred, Same, Deaf, NoTexts])
def test_a_faulty_embedder_is_caught(tmp_path: Path, faulty: Callable[..., Means]) -> None:
    with pytest.raises(ContractError):
        passes((*EMBEDDER_CHECKS, *TEXT_CHECKS), faulty(located(tmp_path), "cpu"))
