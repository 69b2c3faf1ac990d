"""Which students there are, and that a trained one finds what ultralytics finds."""

from __future__ import annotations

import os
import re
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


HUGE = """
backbone:
  - [-1, {repeats}, {layer}, {arguments}]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
head:
  - [[-2, -1], 1, Detect, [nc]]
{more}
"""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"layer": "TorchVision", "arguments": "[512, resnet18, DEFAULT]"},
            "'TorchVision' is not a layer",
        ),
        ({"layer": "torchvision.ops.MLP", "arguments": "[3, [9]]"}, "'torchvision.ops.MLP' is no"),
        ({"layer": "nn.LazyLinear"}, "'nn.LazyLinear' is not a layer"),
        ({"repeats": 1_000_000}, "row 0, Conv, is repeated 1000000 times"),
        ({"repeats": 90, "more": "depth_multiple: 1000"}, "multiplies depth or width"),
        ({"repeats": 90, "more": "scales: {n: [7.9, 1, 64]}"}, "it has 714 layers"),
        ({"arguments": "[8, 99999999, 2]"}, "row 0, Conv, has the argument 99999999"),
        ({"arguments": "['99999999', 3, 2]"}, "has the argument 99999999"),
        ({"arguments": "[.inf, 3, 2]"}, "has the argument inf"),
        ({"arguments": "[8000, 2000, 2]"}, "weights and up to"),
        (
            {"layer": "nn.Upsample", "arguments": "[None, 4000, nearest]"},
            "values in a layer's output",
        ),
        ({"layer": "RepNCSPELAN4", "arguments": "[8, 8, 8, 5000]"}, "is repeated 5000 times"),
        ({"layer": "Concat", "arguments": "[a, b, c]"}, "has the argument a"),
        ({"layer": "C2f", "arguments": "[]"}, "it cannot be built"),
        ({"more": "activation: __import__('os').system('touch touched')"}, "its activation is"),
        ({"more": "nc: 1.0e+300"}, "its nc is"),
    ],
)
def test_what_a_network_may_not_hold(
    values: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything is built, fetched or taken from torch's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _fetched)
    text = HUGE.format(
        **{"repeats": 1, "layer": "Conv", "arguments": "[8, 3, 2]", "more": ""} | values
    )
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(AutolabelError, match=re.escape(said)):
        find_start(tmp_path / "a.yaml")
    assert [p.name for p in tmp_path.iterdir()] == ["a.yaml"]


def _fetched(*_: Any, **__: Any) -> Any:
    raise AssertionError("weights were to be fetched")


def test_a_checkpoint_whose_description_fetches(tmp_path: Path, tiny: Path) -> None:
    save(tmp_path / "a.pt", tiny)
    content = torch.load(tmp_path / "a.pt", weights_only=False)
    content["model"].yaml["backbone"][0][2:] = ["TorchVision", [8, "resnet18", "DEFAULT"]]
    torch.save(content, tmp_path / "b.pt")
    with pytest.raises(
        AutolabelError, match="'TorchVision' is not a layer that a student may have"
    ):
        find_start(tmp_path / "b.pt")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(wrong: float, tmp_path: Path, tiny: Path) -> None:
    save(tmp_path / "a.pt", tiny)
    content = torch.load(tmp_path / "a.pt", weights_only=False)
    next(content["model"].parameters()).data.view(-1)[3] = wrong
    torch.save(content, tmp_path / "b.pt")
    for load in (
        lambda: load_student(tmp_path / "b.pt", "cpu"),
        lambda: find_start(tmp_path / "b.pt"),
    ):
        with pytest.raises(AutolabelError, match="not finite"):
            load()


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
