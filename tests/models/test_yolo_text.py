from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.models.yolo_text import TEXT_ENCODER, YoloText
from autolabel.ontology import Ontology
from autolabel.stages.detect import select
from tests.models.checkpoints import save_yolo, save_yolo_world
from tests.models.test_detectors_contract import blobs

CLASSES = ["red cell", "cat", "dog"]


def load(file: Path) -> YoloText:
    return registry.load(registry.locate("detector", str(file)), "cpu")


def yoloe(description: str, masks: bool = False) -> Any:
    """A random YOLOE that was given three classes, as `set_classes` leaves it."""
    load_ultralytics()
    from ultralytics.nn.tasks import YOLOEModel, YOLOESegModel

    torch.manual_seed(0)
    network = (YOLOESegModel if masks else YOLOEModel)(description, verbose=False).eval()
    network.task = "segment" if masks else "detect"
    network.set_classes(CLASSES, torch.nn.functional.normalize(torch.randn(1, 3, 512), dim=-1))
    return network


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_yolo_world(tmp_path_factory.mktemp("models") / "world.pt")


@pytest.fixture(
    scope="module",
    params=[("yoloe-11n.yaml", False), ("yoloe-11n-seg.yaml", True), ("yoloe-26n.yaml", False)],
    ids=lambda param: param[0],
)
def taught(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_yolo(tmp_path_factory.mktemp("models") / "yoloe.pt", yoloe(*request.param))


def predicted(file: Path, photo: np.ndarray, texts: torch.Tensor | None, threshold: float) -> Any:
    """What ultralytics' own predict gives, with the text embeddings of `texts` where it reads any.

    Without suppression, for it suppresses before it clips boxes to the image, and the stage after.
    """
    from ultralytics import YOLO

    model = YOLO(file)
    if texts is not None:
        model.model.txt_feats = texts[None]
        model.model.model[-1].nc = len(texts)
    model.model.names = dict(enumerate(CLASSES))
    (result,) = model.predict(
        photo[:, :, ::-1], conf=threshold, iou=1.0, imgsz=64, verbose=False, save=False
    )
    return result.boxes


@pytest.mark.parametrize("size", [(60, 40), (30, 90)])
def test_yolo_world_equals_ultralytics_own_prediction(world: Path, size: tuple[int, int]) -> None:
    photo = blobs(*size)
    encoder = registry.load(registry.locate("image-text", str(world.parent / TEXT_ENCODER)), "cpu")
    theirs = predicted(world, photo, torch.from_numpy(encoder.embed_texts(CLASSES)), 0.4)
    same(load(world), photo, theirs)


def test_yoloe_equals_ultralytics_own_prediction(taught: Path) -> None:
    photo = blobs(60, 40)
    same(load(taught), photo, predicted(taught, photo, None, 0.4))


def same(adapter: YoloText, photo: np.ndarray, theirs: Any) -> None:
    (found,) = adapter.detect([photo], Ontology.from_prompts(CLASSES), 0.4)
    height, width = photo.shape[:2]
    ours = select(found, dict.fromkeys(CLASSES, 0.4), 1.0, width, height)
    area = (theirs.xyxy[:, 2:] > theirs.xyxy[:, :2]).all(dim=1)  # ours drops boxes without any
    assert len(ours) == int(area.sum()) > 1
    assert list(ours.label) == [CLASSES[int(i)] for i in theirs.cls[area]]
    np.testing.assert_allclose(ours.score, theirs.conf[area].numpy(), atol=1e-5)
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy[area].numpy(), atol=1e-3)


def test_yoloe_knows_the_classes_that_it_was_saved_with(taught: Path) -> None:
    adapter, photo = load(taught), blobs(60, 40)
    ontology = Ontology.from_prompts(["animal=cat, Dog"], ["red cell"])
    (found,) = adapter.detect([photo], ontology, 0.0)
    assert {"animal"} < set(found.label) <= {"animal", ""}
    with pytest.raises(AutolabelError, match="has no embedding of 'horse'") as e:
        adapter.detect([photo], Ontology.from_prompts(["cat", "horse"]), 0.0)
    assert "-pf" in e.value.hint


def test_yoloe_without_classes_of_its_own(tmp_path: Path) -> None:
    network = yoloe("yoloe-11n.yaml")
    del network.pe
    network.names = {i: str(i) for i in range(80)}
    network.model[-1].nc = 80
    adapter = load(save_yolo(tmp_path / "yoloe.pt", network))
    with pytest.raises(AutolabelError, match="has no embedding of '7'"):
        adapter.detect([blobs(60, 40)], Ontology.from_prompts(["7"]), 0.0)


def test_a_prompt_free_yoloe_finds_words_of_its_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = yoloe("yoloe-11n.yaml"), yoloe("yoloe-11n.yaml")
    for network in (teacher, student):
        save_yolo(tmp_path / "scratch.pt", network)  # settles its layers
        network.float()
        network.args = {"imgsz": 64}
    monkeypatch.setattr(type(teacher), "get_text_pe", lambda self, names: teacher.pe)
    student.set_vocab(teacher.get_vocab(CLASSES), CLASSES)
    file = tmp_path / "prompt-free.pt"
    torch.save({"model": student.half(), "ema": None, "train_args": {"imgsz": 64}}, file)
    photos = [blobs(60, 40, seed) for seed in range(3)]
    adapter = load(file)
    together = adapter.detect(photos, Ontology.from_prompts(["cat", "dog"]), 0.05)
    assert {"cat", "dog"} == {label for found in together for label in found.label}
    for photo, expected in zip(photos, together, strict=True):
        (alone,) = adapter.detect([photo], Ontology.from_prompts(["cat", "dog"]), 0.05)
        np.testing.assert_allclose(np.sort(alone.score), np.sort(expected.score), atol=1e-4)


def test_what_is_no_model_by_text_is_refused(tmp_path: Path, world: Path) -> None:
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    plain = save_yolo(tmp_path / "plain.pt", DetectionModel("yolo11n.yaml", verbose=False))
    with pytest.raises(AutolabelError, match="holds a DetectionModel, which finds nothing by text"):
        load(plain)
    alone = tmp_path / "world.pt"
    alone.write_bytes(world.read_bytes())
    adapter = load(alone)
    with pytest.raises(AutolabelError, match="clip-vit-base-patch32"):
        adapter.detect([blobs(60, 40)], Ontology.from_prompts(["cat"]), 0.0)


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("trace"),))


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Bomb()}, tmp_path / "zipped.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"model": Bomb()}))
    for name in ("zipped.pt", "bare.pt"):
        with pytest.raises(AutolabelError):
            load(tmp_path / name)
    assert not (tmp_path / "trace").exists()


def test_without_ultralytics(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(AutolabelError, match="ultralytics, which is not installed") as e:
        load(world)
    assert "autolabel[train]" in e.value.hint
