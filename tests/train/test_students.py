"""Which students there are, and that a trained one finds what ultralytics finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from autolabel.errors import AutolabelError
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.ops.masks import decode
from autolabel.train import load_student
from tests.conftest import REPO
from tests.train.conftest import recipe

pytestmark = pytest.mark.usefixtures("offline")
Image = npt.NDArray[np.uint8]


def find_start(student: object, *, has_masks: bool = False, **options: Any) -> Any:
    load_ultralytics()
    from autolabel.train.yolo import find_start as find

    return find(recipe(Path(str(student)), **options), has_masks)


def save(path: Path, description: Path, seed: int = 0) -> Path:
    """A random student whose scores are spread, as a file of ultralytics."""
    load_ultralytics()
    from ultralytics.nn import tasks

    torch.manual_seed(seed)
    network = find_start(description, has_masks=True).network
    masks = "Segment" in str(network["head"])
    task = "segment" if masks else "detect"
    kind = tasks.SegmentationModel if masks else tasks.DetectionModel
    model = kind(network, nc=2, verbose=False)
    model.names = {0: "square", 1: "bar"}
    for branch in model.model[-1].cv3:
        torch.nn.init.normal_(branch[-1].weight, 0, 2)
        torch.nn.init.constant_(branch[-1].bias, -2)
    torch.save({"model": model.half(), "train_args": {"imgsz": 96, "task": task}}, path)
    return path


def photo(width: int, height: int, seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["tiny", "tiny_masks"])
def test_it_finds_what_ultralytics_finds(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    weights = save(tmp_path / "a.pt", request.getfixturevalue(kind))
    student = load_student(weights, "cpu")
    images = [photo(130, 70, 0), photo(96, 96, 1), photo(130, 70, 2), photo(61, 200, 3)]
    found = student.predict(images, min_score=0.05, max_objects=40)
    from ultralytics import YOLO

    model = YOLO(str(weights))
    compared = 0
    for image, objects in zip(images, found, strict=True):
        (theirs,) = model.predict(
            image[:, :, ::-1].copy(), conf=0.05, max_det=40, verbose=False, device="cpu",
            save=False, retina_masks=True,
        )  # fmt: skip
        assert len(objects) == len(theirs.boxes)
        # Of scores that differ in the last digit, either may come first.
        for i, name in enumerate(objects.label):
            same = theirs.boxes.cls.numpy() == student.names.index(name)
            same &= np.abs(theirs.boxes.xyxy.numpy() - objects.xyxy[i]).max(axis=1) < 0.5
            same &= np.abs(theirs.boxes.conf.numpy() - objects.score[i]) < 1e-3
            assert same.any()
            if student.masks:
                (ours,) = decode([objects.mask[i]], *image.shape[:2])
                masks = theirs.masks.data.numpy().astype(bool)[same]
                assert min((ours != mask).mean() for mask in masks) < 0.01
        compared += len(objects)
    assert compared > 20


def test_names_and_files(tmp_path: Path, tiny: Path, tiny_masks: Path) -> None:
    assert find_start("yolo26n.yaml").network["scale"] == "n"
    assert find_start("yolo11s.yaml").network["scale"] == "s"
    assert find_start("yolo26n.yaml", has_masks=True).name == "yolo26n-seg"
    assert not find_start("yolo26n.yaml", has_masks=True, task="detect").masks
    assert find_start("yolo26m-seg.yaml", has_masks=True).network["scale"] == "m"
    start = find_start(REPO / "configs" / "students" / "pico.yaml")
    assert (start.masks, start.weights, start.name) == (False, None, "pico")
    weights = save(tmp_path / "a.pt", tiny)
    assert find_start(weights).weights is not None
    with pytest.raises(AutolabelError, match="the labels have none"):
        find_start(tiny_masks)


@pytest.mark.parametrize(
    "student", ["yolo26n", "yolo26n.pt", "nosuch.yaml", "https://example.com/a.pt", "a.onnx"]
)
def test_what_is_not_here_is_not_fetched(
    student: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AutolabelError) as refused:
        find_start(student)
    assert "yolo26n.yaml for a random start" in refused.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "backbone: [[-1, 1, load_checkpoint, [evil.pt]]]\nhead: [[-1, 1, Detect, [nc]]]",
        "backbone: [[-1, 1, nn.utils, []]]\nhead: [[-1, 1, Detect, [nc]]]",
        "backbone: []\nhead: [[-1, 1, Classify, [nc]]]",
        "[1, 2]",
        "{",
    ],
)
def test_a_description_that_names_no_layers(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(AutolabelError):
        find_start(path)


def test_a_hostile_student_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'touched'}",)

    path = tmp_path / "a.pt"
    torch.save({"model": Evil()}, path)
    for load in (lambda: load_student(path, "cpu"), lambda: find_start(path)):
        with pytest.raises(AutolabelError, match="system"):
            load()
    assert not (tmp_path / "touched").exists()
    with pytest.raises(AutolabelError, match="there is no student"):
        load_student(tmp_path / "none", "cpu")
