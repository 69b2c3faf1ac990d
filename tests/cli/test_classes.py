"""The ids of classes through what people type, one command after the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Run, make_photos

Detect = Callable[..., Path]


@pytest.fixture
def detect(run: Run, tmp_path: Path, random_detector: Path) -> Detect:
    make_photos(tmp_path / "photos", 3)

    def detected(*classes: str, extra: tuple[str, ...] = ()) -> Path:
        home = tmp_path / "ws"
        source = home if home.exists() else tmp_path / "photos"
        named = [word for name in classes for word in ("--prompt", name)]
        done = run(
            "detect", source, "--workspace", home, "--model", random_detector, *named,
            "--box-threshold", "0.1", *extra,
        )  # fmt: skip
        assert done.status == 0, done.err
        return home

    return detected


def yolo_names(run: Run, home: Path, out: Path, *extra: str) -> dict[int, str]:
    done = run("export", home, "--format", "yolo", "--out", out, *extra)
    assert done.status == 0, done.err
    names: dict[int, str] = yaml.safe_load((out / "data.yaml").read_text("utf-8"))["names"]
    return names


def test_ids_stay_whatever_is_looked_for_next(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat", "dog")
    assert json.loads((home / "classes.json").read_text()) == {"names": ["cat", "dog"]}
    first = yolo_names(run, home, tmp_path / "a")
    assert first == {0: "cat", 1: "dog"}
    labels = {p.name: p.read_text() for p in (tmp_path / "a/labels/train").iterdir()}
    detect("dog", "cat=cat, black", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "b") == first
    detect("blood", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "c") == {**first, 2: "blood"}
    rows = [p.read_text().split() for p in (tmp_path / "c/labels/train").iterdir()]
    assert {row[0] for row in rows if row} == {"2"}
    detect("dog", "cat", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "d") == {**first, 2: "blood"}
    assert labels, "boxes were found at all"
    shutil.rmtree(home / "detect")
    detect("owl", "dog")
    assert yolo_names(run, home, tmp_path / "e") == {**first, 2: "blood", 3: "owl"}


def test_coco_has_the_same_ids_after_a_move(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat", "dog")
    detect("dog", extra=("--overwrite",))
    moved = Path(shutil.move(home, tmp_path / "elsewhere"))
    assert run("export", moved, "--out", tmp_path / "coco").status == 0
    data = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(1, "cat"), (2, "dog")]
    assert {one["category_id"] for one in data["annotations"]} == {2}


def test_an_older_workspace_keeps_its_ids(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("dog", "cat")
    (home / "classes.json").unlink()
    assert yolo_names(run, home, tmp_path / "a") == {0: "dog", 1: "cat"}
    detect("cat", "blood", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "b") == {0: "dog", 1: "cat", 2: "blood"}


def test_damaged_ids_stop_what_needs_them(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat")
    (home / "classes.json").write_text('{"names": ["cat", "cat"]}')
    done = run("export", home, "--out", tmp_path / "a")
    assert done.status == 1
    assert "classes.json does not list the classes: a name is in it twice" in done.err
    assert "delete it" in done.err
    (home / "classes.json").unlink()
    assert run("export", home, "--out", tmp_path / "a").status == 0


def coco_classes(out: Path) -> dict[int, str]:
    data = json.loads((out / "annotations/instances_train.json").read_text())
    return {one["id"]: one["name"] for one in data["categories"]}


def test_a_dropped_class_leaves_no_gap_and_that_is_said(
    run: Run, detect: Detect, tmp_path: Path
) -> None:
    home = detect("cat", "dog", "blood")
    command = ("export", home, "--out", tmp_path / "out", "--drop", "cat", "--rename", "blood=cell")
    done = run(*command)
    assert done.status == 0, done.err
    assert coco_classes(tmp_path / "out") == {1: "dog", 2: "cell"}
    assert "objects of dropped classes" in done.err
    assert "ids have no gaps, and so are others here: dog 0 (was 1), cell 1 (was 2)" in done.err
    shown = run(*command, "--json").json()
    assert (shown["classes"], shown["renumbered"]) == (["dog", "cell"], {"dog": 1, "cell": 2})
    plain = run("export", home, "--out", tmp_path / "all", "--json").json()
    dropped = shown["lost"]["dropped"]
    assert plain["objects"] == shown["objects"] + dropped
    assert dropped > 0
    wrong = run("export", home, "--out", tmp_path / "x", "--drop", "cta")
    assert wrong.status == 2
    assert "did you mean 'cat'?" in wrong.err
    assert not (tmp_path / "x").exists()


def test_a_class_without_an_object_is_named(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat", "dog")
    detect("dog", extra=("--overwrite",))
    done = run("export", home, "--out", tmp_path / "out")
    assert "no object of: cat; each keeps its id, and --drop leaves one out" in done.err


def test_relabelled_labels_are_what_is_exported_next(
    run: Run, detect: Detect, tmp_path: Path
) -> None:
    home = detect("cat", "dog", "blood")
    merge = ("relabel", home, "--merge", "dog,blood=thing", "--rename", "cat=feline")
    done = run(*merge)
    assert done.status == 0, done.err
    assert "ids of the classes: 0 feline, 1 thing" in done.err
    assert "nothing to do" in run(*merge).err
    rows = run("export", home, "--out", tmp_path / "a", "--json").json()
    assert coco_classes(tmp_path / "a") == {1: "feline", 2: "thing"}
    asked = run("export", home, "--from", "detect", "--out", tmp_path / "b", *merge[2:], "--json")
    same = asked.json()
    assert same["objects"] == rows["objects"] > 0
    assert same["lost"].get("repeated", 0) == rows["lost"].get("rejected", 0)
    files = [tmp_path / out / "annotations/instances_train.json" for out in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    other = run("relabel", home, "--drop", "cat")
    assert other.status == 1
    assert "--overwrite" in other.err
    assert run("relabel", home, "--drop", "cat", "--overwrite").status == 0
    run("export", home, "--out", tmp_path / "a")
    assert coco_classes(tmp_path / "a") == {1: "dog", 2: "blood"}
    # what is detected next makes it stale; the classes of then are relabelled
    detect("dog", "platelet", extra=("--overwrite",))
    stale = run("export", home, "--out", tmp_path / "a")
    assert f"run autolabel relabel {home} --drop cat" in stale.err
    assert run("relabel", home, "--drop", "cat").status == 0
    run("export", home, "--out", tmp_path / "a")
    assert coco_classes(tmp_path / "a") == {1: "dog", 2: "blood", 3: "platelet"}
    again = run("relabel", home, "--rename", "cta=x", "--overwrite")
    assert "did you mean 'cat'?" in again.err
    assert run("relabel", home).status == 2
    # a name that means another class afterwards would make people's labels mean either
    for odd in (
        ("--rename", "cat=dog", "--rename", "dog=cat"),
        ("--rename", "dog=cat", "--drop", "cat"),
    ):
        done = run("relabel", home, *odd, "--overwrite")
        assert "which another class is called before" in done.err
        assert run("export", home, "--from", "detect", "--out", tmp_path / "c", *odd).status == 0


def test_relabelled_labels_are_measured_by_their_new_names(
    run: Run, detect: Detect, tmp_path: Path
) -> None:
    """The pipeline is replayed on the hand-labelled photos, relabelling included."""
    photos = make_photos(tmp_path / "photos", 5)
    held = tmp_path / "held"
    held.mkdir()
    for photo in photos[3:]:
        photo.rename(held / photo.name)
    home = tmp_path / "ws"
    assert run("ingest", tmp_path / "photos", "-w", home, "--holdout", held).status == 0
    detect("blood", "cat")
    detect("cat", "dog", extra=("--overwrite",))
    assert run("relabel", home, "--rename", "cat=feline", "--drop", "blood").status == 0
    truth = {
        "images": [
            {"id": i, "file_name": name, "width": 96, "height": 64}
            for i, name in enumerate(("0003.png", "0004.png"))
        ],
        "categories": [{"id": 7, "name": "feline"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": i % 2, "category_id": 7 if i < 2 else 3, "bbox": [3, 4, 50, 40]}
            for i in range(4)
        ],
    }
    (held / "truth.json").write_text(json.dumps(truth))
    done = run("evaluate", home, "--truth", held / "truth.json", "--bootstrap", "0", "--json")
    assert done.status == 0, done.err
    result = done.json()
    raw, labels = result["rows"]
    assert (raw["name"], labels["name"]) == ("detect", "relabel")
    assert set(result["classes"]) == {"feline", "dog"}
    assert {c: one["predicted"] for c, one in raw["classes"].items()} == {
        c: one["predicted"] for c, one in labels["classes"].items()
    }
    assert labels["classes"]["feline"]["predicted"] > 0
    old = run("evaluate", home, "--truth", held / "truth.json", "--layer", "detect")
    assert "the hand labels have classes that the workspace has not: 'feline'" in old.err


def test_what_people_label_after_a_renaming_keeps_its_id(
    run: Run, detect: Detect, tmp_path: Path
) -> None:
    home = detect("cat", "dog")
    assert run("relabel", home, "--rename", "cat=feline").status == 0
    out = tmp_path / "coco"
    run("export", home, "--out", out)
    file = out / "annotations/instances_train.json"
    data = json.loads(file.read_text())
    moved = next(one for one in data["annotations"] if one["category_id"] == 1)
    moved["bbox"] = [1, 2, 30, 20]
    data["categories"].append({"id": 9, "name": "owl"})
    data["annotations"].append({**moved, "id": 10_000, "bbox": [40, 9, 9, 9], "category_id": 9})
    file.write_text(json.dumps(data))
    done = run("import", out, "-w", home)
    assert done.status == 0, done.err
    expected = {1: "feline", 2: "dog", 3: "owl"}
    run("export", home, "--out", tmp_path / "a")
    assert coco_classes(tmp_path / "a") == expected
    # the renaming is made anew when what it was made of is
    detect("cat", "dog", extra=("--overwrite", "--nms-iou", "0.5"))
    again = run("relabel", home, "--rename", "cat=feline")
    assert again.status == 0, again.err
    done = run("export", home, "--out", tmp_path / "a")
    assert done.status == 0, done.err
    assert coco_classes(tmp_path / "a") == expected
    data = json.loads((tmp_path / "a/annotations/instances_train.json").read_text())
    assert [1, 2, 30, 20] in [one["bbox"] for one in data["annotations"] if one["category_id"] == 1]
    assert [40, 9, 9, 9] in [one["bbox"] for one in data["annotations"] if one["category_id"] == 3]
