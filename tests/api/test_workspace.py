from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import autolabel as al
from autolabel.cli import main
from tests.conftest import REPO, SAMPLE

MODELS = SAMPLE / "models"
STUDENT = REPO / "configs/students/pico.yaml"
PROMPTS = ["red blood cell", "white blood cell", "platelet"]
CPU = {"device": "cpu", "workers": 1}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for path in sorted((SAMPLE / "blood_cells" / "unlabeled").glob("*.jpg"))[:4]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hand-labelled photos."""
    folder = tmp_path_factory.mktemp("held_out")
    source = SAMPLE / "blood_cells" / "validation"
    coco = json.loads((source / "annotations.json").read_text())
    coco["images"] = coco["images"][:2]
    for image in coco["images"]:
        shutil.copy(source / image["file_name"], folder)
    known = {image["id"] for image in coco["images"]}
    coco["annotations"] = [a for a in coco["annotations"] if a["image_id"] in known]
    (folder / "annotations.json").write_text(json.dumps(coco))
    return folder


@pytest.fixture(scope="module")
def ws(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> al.Workspace:
    """Ingested, detected, refined."""
    ws = al.Workspace(tmp_path_factory.mktemp("ws"))
    ws.ingest(photos)
    ws.detect(PROMPTS, model=MODELS / "detector", box_threshold=0.3, **CPU)
    ws.refine(model=MODELS / "segmenter", **CPU)
    return ws


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as done:
        main([str(word) for word in words])
    assert done.value.code == 0, words


def test_a_program_does_what_the_commands_do(
    photos: Path, held_out: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = tmp_path / "program", tmp_path / "commands"
    ws = al.Workspace(a)
    ws.ingest(photos, holdout=held_out, workers=1)
    ws.detect(PROMPTS, model=MODELS / "detector", box_threshold=0.3, **CPU)
    ws.refine(model=MODELS / "segmenter", multimask=False, min_speck=100, **CPU)
    ws.filter(clip=MODELS / "clip", clip_margin=-0.8, min_side=6, inside=0.95, **CPU)
    ws.export(a / "coco", "coco", val_share=0.5)
    trained = ws.train(student=STUDENT, epochs=1, imgsz=64, device="cpu")
    result = ws.evaluate(held_out, bootstrap=20, speed_images=0, **CPU)
    page = ws.report()
    assert capfd.readouterr() == ("", "")

    prompts = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    cpu = ["--device", "cpu", "--workers", "1"]
    command("ingest", photos, "-w", b, "--holdout", held_out, "--workers", "1")
    command("detect", b, *prompts, "--model", MODELS / "detector", "--box-threshold", 0.3, *cpu)
    command(
        "refine", b, "--model", MODELS / "segmenter", "--no-multimask", "--min-speck", 100, *cpu
    )
    command(
        "filter", b, "--clip", MODELS / "clip", "--clip-margin", -0.8, "--min-side", 6,
        "--inside", 0.95, *cpu,
    )  # fmt: skip
    command("export", b, "--format", "coco", "--out", b / "coco", "--val-share", 0.5)
    command(
        "train", b, "--student", STUDENT, "--epochs", 1,
        "--imgsz", 64, "--device", "cpu",
    )  # fmt: skip
    command(
        "evaluate", b, "--truth", held_out, "--bootstrap", 20, "--speed-images", 0, *cpu, "--json"
    )
    shown = json.loads(capfd.readouterr().out)

    for layer in ("images", "detect", "refine", "filter"):
        shards = [path.name for path in (b / layer).glob("*.parquet")]
        assert shards
        for shard in shards:
            assert (a / layer / shard).read_bytes() == (b / layer / shard).read_bytes()
        made, again = (json.loads((w / layer / "manifest.json").read_text()) for w in (a, b))
        assert made["settings"] == again["settings"]
    exported = [path.relative_to(b) for path in (b / "coco").rglob("*.*") if path.name[0] != "."]
    assert any(path.suffix == ".json" for path in exported)
    for path in exported:
        assert (a / path).read_bytes() == (b / path).read_bytes()
    assert trained.folder.name == "pico"
    measured = json.loads(json.dumps(result.as_json()))
    assert measured["rows"] == shown["rows"]
    assert page.out.is_file()


def test_a_layer_is_read_as_other_libraries_want_it(ws: al.Workspace) -> None:
    layer = ws["refine"]
    records = list(layer)
    assert len(layer) == len(records) == 4
    assert layer[1] == records[1]
    assert layer[-1] == records[3]
    with pytest.raises(IndexError):
        layer[4]
    assert layer.image_path(0).is_file()

    first = records[0].objects.kept
    found = layer.to_supervision(0)
    assert np.array_equal(found.xyxy, first.xyxy)
    assert found.mask is not None
    assert found.mask.shape == (len(first), 480, 640)
    assert [PROMPTS[i] for i in found.class_id] == list(found.data["class_name"])

    table = layer.to_arrow()
    assert table.column("image_id").to_pylist() == [record.image_id for record in records]
    frame = layer.to_pandas()
    assert len(frame) == sum(len(record.objects) for record in records)
    boxes = frame[frame["uri"] == records[0].uri][["x_min", "y_min", "x_max", "y_max"]]
    assert np.array_equal(boxes.to_numpy(np.float32), records[0].objects.xyxy)


def test_images_are_found_in_whichever_shard(photos: Path, tmp_path: Path) -> None:
    ws = al.Workspace(tmp_path / "ws")
    ws.ingest(photos, shard_size=3)
    layer = ws["images"]
    records = list(layer)
    assert [layer[i] for i in (3, 0, 2, -1, -4)] == [records[i] for i in (3, 0, 2, 3, 0)]
    for index in (4, -5):
        with pytest.raises(IndexError):
            layer[index]


def test_rejected_objects_are_left_out_unless_asked_for(ws: al.Workspace) -> None:
    ws.filter(min_side=150, overwrite=True)
    layer = ws["filter"]
    kept, every = layer.to_supervision(0), layer.to_supervision(0, rejected=True)
    assert len(kept) < len(every)
    assert set(kept.data["reason"]) == {""}
    assert any(reason for reason in every.data["reason"])
    assert layer.counts.kept < layer.counts.objects


def test_progress_and_lines_go_to_callbacks(photos: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    ws = al.Workspace(tmp_path / "ws", progress=lambda *step: steps.append(step))
    ws.ingest(photos)
    assert steps[0] == ("ingest", 0, 4)
    assert steps[-1] == ("ingest", 4, 4)


def test_options_are_refused_as_on_the_command_line(ws: al.Workspace) -> None:
    with pytest.raises(al.UsageError) as typo:
        ws.detect("cat", box_treshold=0.3)
    assert "did you mean 'box_threshold'?" in typo.value.hint
    with pytest.raises(al.UsageError, match="box_threshold cannot be 3"):
        ws.detect("cat", box_threshold=3)
    with pytest.raises(al.AutolabelError, match="box_threshold"):
        ws.detect(PROMPTS, model=MODELS / "detector", box_threshold=0.1)
    with pytest.raises(al.AutolabelError, match="no layer 'fliter'"):
        ws["fliter"]
    with pytest.raises(al.UsageError, match="no stage 'detcet'"):
        ws.run_stage("detcet")
    with pytest.raises(AttributeError):
        al.detect  # noqa: B018


def test_what_there_is_can_be_asked(ws: al.Workspace) -> None:
    assert ws.layers[:2] == ["scan", "images"]
    assert "detect" in ws
    assert "nothing" not in ws
    assert list(ws["detect"].ontology.names) == PROMPTS
    assert ws["detect"].settings["box_threshold"] == 0.3
    assert set(al.__all__) <= set(dir(al))


def test_a_pipeline_file_is_run_with_other_values(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        f"workspace: {tmp_path / 'ws'}\n"
        f"ingest: {{source: {photos}}}\n"
        f"detect: {{model: {MODELS / 'detector'}, prompt: [platelet], box_threshold: 0.9}}\n"
        f"export: {{format: coco, out: {tmp_path / 'ws/coco'}}}\n"
    )
    values = {"detect.box_threshold": 0.3, "engine.device": "cpu", "workspace": tmp_path / "other"}
    done = al.run(file, set=values)
    assert list(done.steps) == ["ingest", "detect", "export"]
    assert done.steps["detect"].images == 4
    assert done.steps["detect"].layer.manifest.settings["box_threshold"] == 0.3
    assert list((tmp_path / "other" / "coco").rglob("*.json"))
    again = al.run(str(file), set=values, until="detect")
    assert again.steps["detect"].images == 0
    with pytest.raises(al.UsageError, match="'detekt'"):
        al.run(file, set={"detekt.box_threshold": 0.3})
