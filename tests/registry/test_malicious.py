"""Files with code in them, named like each kind of weights: refused, and nothing in them is run."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Finished, Run, make_photos, save_random_detector, save_random_segmenter
from tests.embedders import save_random_clip, save_random_dinov2

TASKS: dict[str, Callable[[Path], Path]] = {
    "detector": save_random_detector,
    "segmenter": save_random_segmenter,
    "clip": save_random_clip,
    "dinov2": save_random_dinov2,
}


class Touch:
    """What a hostile file pickles: making a file when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def bare(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": Touch(trace)}, protocol=2))


def zipped(path: Path, trace: Path) -> None:
    """In the archive that torch.save writes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": Touch(trace)}, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


WRITERS = {"bare": bare, "zipped": zipped}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("honest")
    return {task: save(home / task) for task, save in TASKS.items()}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, honest: dict[str, Path]) -> Path:
    from autolabel.config import DetectConfig, EngineConfig, IngestConfig
    from autolabel.stages.detect import detect
    from autolabel.stages.ingest import ingest
    from autolabel.store import Workspace

    home = tmp_path_factory.mktemp("labelled")
    photos = make_photos(home / "photos", 2)
    workspace, engine = Workspace(home / "ws"), EngineConfig(device="cpu")
    ingest(workspace, IngestConfig(source=tuple(map(str, photos))), engine)
    config = DetectConfig(prompt=("cell", "cat"), model=str(honest["detector"]), box_threshold=0.01)
    detect(workspace, config, engine)
    return workspace.path


@pytest.fixture
def workspace(labelled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(labelled, tmp_path / "ws")


def give(run: Run, task: str, workspace: Path, model: Path) -> Finished:
    """Give a model to the command that takes one of its task."""
    command: dict[str, list[object]] = {
        "detector": ["detect", workspace, "--prompt", "cell", "--overwrite", "--model", model],
        "segmenter": ["refine", workspace, "--model", model],
        "clip": ["filter", workspace, "--clip", model],
        "dinov2": ["filter", workspace, "--dinov2", model],
    }
    return run(*command[task])


def refused(done: Finished, trace: Path) -> None:
    assert not trace.exists(), "code in a file was run"
    assert done.status == 1, done.err
    assert done.err.count("error:") == done.err.count("hint:") == 1, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("task", TASKS)
def test_a_pickle_in_place_of_the_weights(
    task: str, name: str, write: Callable[[Path, Path], None], honest: dict[str, Path],
    workspace: Path, run: Run, tmp_path: Path,
) -> None:  # fmt: skip
    folder = shutil.copytree(honest[task], tmp_path / "model")
    (folder / "model.safetensors").unlink()
    write(folder / name, trace := tmp_path / "trace")
    refused(give(run, task, workspace, folder), trace)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("name", ["a.pth", "a.pt"])
@pytest.mark.parametrize("task", TASKS)
def test_a_pickle_as_an_original_file(
    task: str, name: str, write: Callable[[Path, Path], None], workspace: Path, run: Run,
    tmp_path: Path,
) -> None:  # fmt: skip
    write(tmp_path / name, trace := tmp_path / "trace")
    refused(give(run, task, workspace, tmp_path / name), trace)


@pytest.mark.parametrize("kind", ["ours", "theirs"])
@pytest.mark.parametrize("task", TASKS)
def test_code_that_a_config_names(
    task: str, kind: str, honest: dict[str, Path], workspace: Path, run: Run, tmp_path: Path
) -> None:
    """With a `model_type` that is known the code is passed over, else the model is refused."""
    folder = shutil.copytree(honest[task], tmp_path / "model")
    trace = tmp_path / "trace"
    (folder / "code.py").write_text(f"open({str(trace)!r}, 'w')\n", "utf-8")
    names = (
        "AutoConfig", "AutoModel", "AutoProcessor", "AutoTokenizer", "AutoImageProcessor",
        "AutoModelForZeroShotObjectDetection", "AutoModelForMaskGeneration",
    )  # fmt: skip
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text("utf-8"))
        if path.name == "tokenizer.json":
            continue
        content["auto_map"] = dict.fromkeys(names, "code.Evil")
        if kind == "theirs" and path.name == "config.json":
            content["model_type"] = "evil"
        path.write_text(json.dumps(content), "utf-8")
    done = give(run, task, workspace, folder)
    if kind == "theirs":
        refused(done, trace)
    assert not trace.exists(), "code in a file was run"
    assert "Traceback" not in done.err


def hand_labels(folder: Path) -> Path:
    """Two photos with a cell on each, as COCO."""
    photos = make_photos(folder, 2)
    content = {
        "images": [
            {"id": i, "file_name": photo.name, "width": 96, "height": 64}
            for i, photo in enumerate(photos, 1)
        ],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [8, 8, 24, 24], "area": 576,
             "iscrowd": 0, "segmentation": []}
            for i in (1, 2)
        ],
    }  # fmt: skip
    path = folder / "truth.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_pickle_as_a_student(
    command: str, write: Callable[[Path, Path], None], workspace: Path, run: Run, tmp_path: Path
) -> None:
    pytest.importorskip("ultralytics")
    write(tmp_path / "a.pt", trace := tmp_path / "trace")
    given: list[object] = ["--student", tmp_path / "a.pt"]
    if command == "evaluate":
        given += ["--truth", hand_labels(tmp_path / "truth")]
    done = run(command, workspace, *given)
    refused(done, trace)
    assert "a.pt" in done.err


def test_the_traces_are_left_where_a_file_is_trusted(tmp_path: Path) -> None:
    """The hostile files work; else the other tests would prove nothing."""
    import torch

    for name, write in WRITERS.items():
        trace = tmp_path / f"trace-{name}"
        write(tmp_path / name, trace)
        if name == "bare":
            pickle.loads((tmp_path / name).read_bytes())
        else:
            torch.load(tmp_path / name, weights_only=False)
        assert trace.exists()
