"""Labels that autolabel wrote are refused as hand labels, wherever they are and however named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autolabel.ontology import Ontology
from autolabel.stages.filter.examples import find_examples
from tests.conftest import Finished, Run
from tests.evaluate.scene import AWAY, BOX, Scene, write_truth
from tests.evaluate.standin import stand_in

MARKER = ".autolabel-export.json"


@pytest.fixture
def exported(run: Run, scene: Scene, tmp_path: Path) -> Callable[[str], Path]:
    def export(kind: str) -> Path:
        done = run(
            "export", scene.home, "--format", kind, "--out", tmp_path / kind, "--val-share", 0
        )
        assert done.status == 0, done.err
        return tmp_path / kind

    return export


def evaluated(run: Run, scene: Scene, truth: Path) -> Finished:
    return run(
        "evaluate", scene.home, "--truth", truth, "--bootstrap", 0, "--device", "cpu", "--json"
    )


def refused(run: Run, scene: Scene, truth: Path, evidence: str) -> None:
    done = evaluated(run, scene, truth)
    assert done.status == 1
    assert "were exported by autolabel, and are not hand labels" in done.err, done.err
    assert evidence in done.err
    assert "labels that people drew" in done.err
    assert not (scene.home / "evaluate/result.json").exists()


OPENED = {
    "coco": ("annotations/instances_train.json", '"info" in '),
    "yolo": ("data.yaml", "the first line of data.yaml"),
    "voc": ("Annotations/0001.xml", "<database> in 0000.xml"),
    "csv": ("images/train/_annotations.csv", "the last column of _annotations.csv"),
}


@pytest.mark.parametrize("kind", OPENED)
def test_its_own_export_moved_or_in_part(
    kind: str, run: Run, scene: Scene, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    out = exported(kind)
    name, signature = OPENED[kind]
    file = next((out / name).parent.glob((out / name).name.replace("0001", "*")))
    refused(run, scene, out, MARKER)
    refused(run, scene, file, MARKER)
    moved = out.rename(tmp_path / "by hand")
    refused(run, scene, moved, MARKER)
    (moved / MARKER).unlink()
    refused(run, scene, moved, signature)


def test_one_file_of_it_alone(
    run: Run, scene: Scene, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    file = exported("coco") / "annotations/instances_train.json"
    shutil.copy(file, tmp_path / "truth.json")
    refused(run, scene, tmp_path / "truth.json", '"info" in truth.json')
    data = json.loads(file.read_text())
    (tmp_path / "sorted.json").write_text(json.dumps(data, indent=2, sort_keys=True))
    refused(run, scene, tmp_path / "sorted.json", '"info" in sorted.json')


@pytest.mark.parametrize("listed", ["classes.txt", "labels/classes.txt"])
def test_other_names_for_its_yolo_labels(
    run: Run, scene: Scene, exported: Callable[[str], Path], listed: str
) -> None:
    out = exported("yolo")
    (out / "data.yaml").unlink()
    (out / listed).write_text("cat\ndog\n")
    refused(run, scene, out, MARKER)


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_the_very_boxes_without_any_note(
    kind: str, run: Run, scene: Scene, exported: Callable[[str], Path]
) -> None:
    out = exported(kind)
    (out / MARKER).unlink()
    if kind == "yolo":
        text = (out / "data.yaml").read_text()
        (out / "data.yaml").write_text(text.partition("\n")[2])
    else:
        file = out / "annotations/instances_train.json"
        data = json.loads(file.read_text())
        del data["info"]
        file.write_text(json.dumps(data))
    done = evaluated(run, scene, out)
    assert done.status == 1
    assert "are the very boxes of filter/, and so no hand labels" in done.err, done.err


def test_what_people_drew_in_or_beside_an_export_is_taken(
    run: Run, scene: Scene, exported: Callable[[str], Path]
) -> None:
    out = exported("coco")
    hand = out / "hand"
    hand.mkdir()
    photos = sorted((out / "images" / "train").iterdir())
    write_truth(hand, photos, {"cat": BOX, "dog": AWAY})
    done = evaluated(run, scene, hand / "annotations.json")
    assert done.status == 0, done.err
    # Somebody has gone over them, and says so as the hint tells.
    (out / MARKER).unlink()
    file = out / "annotations/instances_train.json"
    data = json.loads(file.read_text())
    del data["info"]
    for one in data["annotations"][::3]:
        one["bbox"][2] += 2
    file.write_text(json.dumps(data))
    done = evaluated(run, scene, file)
    assert done.status == 0, done.err


def test_it_is_no_reference_and_no_example(
    run: Run,
    scene: Scene,
    exported: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monkeypatch)
    scene.student("small", ["cat", 0.9, BOX])
    out = exported("yolo")
    done = run("evaluate", scene.home, "--truth", scene.truth, "--reference", out)
    assert done.status == 1
    assert "were exported by autolabel" in done.err
    with pytest.raises(Exception, match="were exported by autolabel"):
        find_examples(out, Ontology.from_prompts(["cat", "dog"]), ())
