"""What people did to labels, through what is typed: import, and whatever runs after it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.config import DetectConfig, EngineConfig, IngestConfig
from autolabel.stages.ingest import ingest
from autolabel.stages.table import STAGES
from autolabel.store import Workspace
from autolabel.types import Objects
from tests.conftest import SAMPLE, Run

UNLABELED = SAMPLE / "blood_cells" / "unlabeled"
PROMPTS = ("--prompt", "red blood cell", "--prompt", "white blood cell", "--prompt", "platelet")
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def detected(tmp_path_factory: pytest.TempPathFactory, detector: Path) -> Path:
    """A workspace in which the sample's detector has looked at four photos."""
    folder = tmp_path_factory.mktemp("detected")
    photos = folder / "photos"
    photos.mkdir()
    for photo in sorted(UNLABELED.glob("*.jpg"))[:4]:
        shutil.copy(photo, photos)
    home = Workspace(folder / "ws")
    ingest(home, IngestConfig(source=(str(photos),)), EngineConfig())
    config = DetectConfig(model=str(detector), prompt=PROMPTS[1::2])
    STAGES["detect"].run(home, config, EngineConfig())
    return home.path


@pytest.fixture
def home(detected: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(detected, tmp_path / "ws"))


def exported(run: Run, home: Path, out: Path) -> dict[str, Any]:
    done = run("export", home, "--format", "coco", "--out", out)
    assert done.status == 0, done.err
    data: dict[str, Any] = json.loads((out / "annotations/instances_train.json").read_text("utf-8"))
    return data


def edited(run: Run, home: Path, file: Path, edit: Edit) -> Path:
    """The workspace's labels as a COCO file that a person has edited."""
    data = exported(run, home, file.parent / f"{file.stem}-export")
    edit(data)
    file.write_text(json.dumps(data), "utf-8")
    return file


def four_changes(data: dict[str, Any]) -> None:
    """In the first image one object is deleted, one relabelled, one moved, and one is new."""
    first = [a for a in data["annotations"] if a["image_id"] == data["images"][0]["id"]]
    gone, other, moved, *_ = first
    data["annotations"].remove(gone)
    other["category_id"] = {1: 3, 2: 1, 3: 1}[other["category_id"]]
    moved["bbox"] = [moved["bbox"][0] + 4, moved["bbox"][1] + 3, *moved["bbox"][2:]]
    box = {"bbox": [3.5, 4.25, 20, 10], "area": 200, "iscrowd": 0, "segmentation": []}
    new = {"id": 99_999, "image_id": gone["image_id"], "category_id": 2, **box}
    data["annotations"].append(new)


def locked(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What people left, bit for bit, by image."""
    found = {}
    for record in Workspace(home).require("corrected").records():
        mine = record.objects[record.objects.locked]
        rows = zip(mine.label, mine.xyxy.tolist(), mine.mask, mine.correction, strict=True)
        found[record.image_id] = sorted(rows, key=str)
    return {image: rows for image, rows in found.items() if rows}


def labels(home: Path, layer: str = "corrected") -> list[Objects]:
    return [record.objects for record in Workspace(home).require(layer).records()]


def test_what_people_changed_is_locked_and_the_rest_stays_the_machine_s(
    run: Run, home: Path, tmp_path: Path
) -> None:
    before = sum(len(one.kept) for one in labels(home, "detect"))
    first = len(labels(home, "detect")[0])
    file = edited(run, home, tmp_path / "back.json", four_changes)
    done = run("import", file, "-w", home, "--by", "anna", "--json")
    assert done.status == 0, done.err
    found = done.json()
    assert found["decisions"] == {
        "confirmed": first - 3, "deleted": 1, "drawn": 1, "moved": 1, "relabelled": 1,
    }  # fmt: skip
    assert (found["images"], found["changed_images"]) == (4, 1)
    assert found["unchanged"] == before - first
    one, *others = labels(home)
    assert one.locked[one.keep].all()
    assert not any(o.locked.any() for o in others)
    assert {c.who for c in one.correction if c} == {"anna"}
    drawn = [(b.tolist(), o.label[i]) for o in [one] for i, b in enumerate(o.xyxy)
             if o.correction[i] and o.correction[i].action == "drawn"]  # fmt: skip
    assert drawn == [([3.5, 4.25, 23.5, 14.25], "white blood cell")]
    assert len(exported(run, home, tmp_path / "again")["annotations"]) == before
    again = run("import", file, "-w", home, "--by", "anna", "--json").json()
    assert again["decisions"] == {}, "the same file says nothing new"


def test_no_later_run_changes_what_people_left(
    run: Run, home: Path, tmp_path: Path, detector: Path, segmenter: Path
) -> None:
    file = edited(run, home, tmp_path / "back.json", four_changes)
    assert run("import", file, "-w", home).status == 0
    said, kept = locked(home), [len(one.kept) for one in labels(home)]
    gone = labels(home, "corrections")[0]
    gone = gone[~gone.keep]
    for command in (
        ["detect", home, "--model", detector, *PROMPTS, "--box-threshold", "0.2", "--overwrite"],
        ["filter", home, "--min-side", "30"],
        ["filter", home, "--min-side", "500", "--overwrite"],  # rejects all of the machine's
    ):
        done = run(*command)
        assert done.status == 0, done.err
        assert locked(home) == said
    every = labels(home)
    assert [int(one.keep.sum()) for one in every] == [kept[0], 0, 0, 0]
    assert run("filter", home, "--min-side", "1", "--overwrite").status == 0
    for objects in labels(home):
        kept_boxes = {
            (o, *b) for o, b in zip(objects.kept.label, objects.kept.xyxy.tolist(), strict=True)
        }
        for label, box in zip(gone.label, gone.xyxy.tolist(), strict=True):
            assert (label, *box) not in kept_boxes
    assert run("refine", home, "--model", segmenter).status == 0
    boxes = {image: [row[:2] for row in rows] for image, rows in said.items()}
    now = locked(home)
    assert {image: [row[:2] for row in rows] for image, rows in now.items()} == boxes
    assert all(row[2] is not None for rows in now.values() for row in rows), "all have masks"
    masked = locked(home)
    assert run("refine", home, "--model", segmenter).status == 0
    assert locked(home) == masked


def test_boxes_that_people_drew_become_masks_without_a_detector(
    run: Run, tmp_path: Path, segmenter: Path
) -> None:
    data = json.loads((SAMPLE / "blood_cells/validation/annotations.json").read_text("utf-8"))
    keep = data["images"][:2]
    ids = {one["id"] for one in keep}
    data |= {
        "images": keep,
        "annotations": [a for a in data["annotations"] if a["image_id"] in ids],
    }
    source = tmp_path / "labelled"
    source.mkdir()
    (source / "annotations.json").write_text(json.dumps(data))
    for one in keep:
        name = Path(one["file_name"]).name
        shutil.copy(next((SAMPLE / "blood_cells/validation").rglob(name)), source / name)
        one["file_name"] = name
    (source / "annotations.json").write_text(json.dumps(data))
    home = tmp_path / "ws"
    assert run("import", source, "-w", home).status == 0
    done = run("refine", home, "--model", segmenter)
    assert done.status == 0, done.err
    out = exported(run, home, tmp_path / "coco")
    assert len(out["annotations"]) == len(data["annotations"])
    assert all(a["segmentation"] for a in out["annotations"])
    assert [c["name"] for c in out["categories"]] == [c["name"] for c in data["categories"]]


def test_shuffled_class_ids_come_back_by_name(run: Run, home: Path, tmp_path: Path) -> None:
    def shuffle(data: dict[str, Any]) -> None:
        other = {1: 30, 2: 10, 3: 20}
        for one in data["categories"]:
            one["id"] = other[one["id"]]
        data["categories"].sort(key=lambda one: one["id"])
        for one in data["annotations"]:
            one["category_id"] = other[one["category_id"]]

    before = exported(run, home, tmp_path / "before")
    file = edited(run, home, tmp_path / "shuffled.json", shuffle)
    done = run("import", file, "-w", home, "--unchanged", "confirm")
    assert done.status == 0, done.err
    assert "other ids" in done.err
    after = exported(run, home, tmp_path / "after")
    for one in before["annotations"]:
        one["score"] = 1.0  # of what a person has confirmed
    assert after == before
    assert sum(len(rows) for rows in locked(home).values()) == len(before["annotations"])


def test_a_class_that_people_bring_comes_last_and_detect_goes_on(
    run: Run, home: Path, tmp_path: Path, detector: Path
) -> None:
    def ghost(data: dict[str, Any]) -> None:
        data["categories"].insert(0, {"id": 7, "name": "a ghost"})
        data["annotations"][0]["category_id"] = 7

    file = edited(run, home, tmp_path / "ghost.json", ghost)
    done = run("import", file, "-w", home)
    assert "new classes, with the last ids: a ghost" in done.err
    after = exported(run, home, tmp_path / "after")
    assert [c["name"] for c in after["categories"]] == [*PROMPTS[1::2], "a ghost"]
    assert run("detect", home, "--model", detector).status == 0, "nothing differs for it"


def test_an_image_without_labels_was_emptied_but_for_classes_that_people_did_not_have(
    run: Run, home: Path, tmp_path: Path
) -> None:
    def empty(data: dict[str, Any]) -> None:
        data["annotations"].clear()
        data["categories"] = [c for c in data["categories"] if c["name"] != "platelet"]

    platelets = sum(int((one.label == "platelet").sum()) for one in labels(home, "detect"))
    file = edited(run, home, tmp_path / "empty.json", empty)
    kept = run("import", file, "-w", home, "--no-deletions", "--json").json()
    assert kept["decisions"] == {}
    trial = run("import", file, "-w", home, "--dry-run", "--json").json()
    assert not (home / "decisions").exists()
    before = [len(one.kept) for one in labels(home, "detect")]
    said = run("import", file, "-w", home, "--json")
    done = said.json()
    assert done["decisions"] == trial["decisions"]
    left = [label for one in labels(home) for label in one.kept.label]
    assert left == ["platelet"] * platelets
    assert done["emptied_images"] == 4
    assert f"move {done['file']} away" in said.err
    Path(done["file"]).rename(tmp_path / "taken-back.jsonl")
    assert run("export", home, "--out", tmp_path / "back").status == 0
    assert [len(one.kept) for one in labels(home)] == before
    assert locked(home) == {}


def test_what_does_not_match_is_listed_and_nothing_else_is_touched(
    run: Run, home: Path, tmp_path: Path
) -> None:
    def strangers(data: dict[str, Any]) -> None:
        data["images"][0]["file_name"] = "../../etc/passwd"
        data["images"][1]["file_name"] = "nobody.jpg"

    file = edited(run, home, tmp_path / "strangers.json", strangers)
    done = run("import", file, "-w", home)
    assert done.status == 0
    assert "2 labelled images are not in use here" in done.err
    assert "nobody.jpg: not in the layer" in done.err
    none = tmp_path / "none.json"
    image = {"id": 1, "file_name": "x.jpg", "width": 9, "height": 9}
    categories = [{"id": 1, "name": "a"}]
    data = {"images": [image], "annotations": [], "categories": categories}
    none.write_text(json.dumps(data))
    done = run("import", none, "-w", home)
    assert (done.status, "none of the 1 labelled images" in done.err) == (1, True)
    assert not (home / "decisions").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "cocco"], "coco"),
        (["--class-map", "red blood=x"], "red blood cell"),
        (["--unchanged", "yes"], "auto"),
        (["--confirm"], "No such option"),
    ],
)
def test_a_mistake_says_what_to_type(
    run: Run, home: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    file = edited(run, home, tmp_path / "back.json", four_changes)
    done = run("import", file, "-w", home, *words)
    assert done.status in (1, 2)
    assert said in done.err
    assert not (home / "decisions").exists()


def test_a_label_that_is_stale_is_not_compared_with(
    run: Run, home: Path, tmp_path: Path, detector: Path
) -> None:
    file = edited(run, home, tmp_path / "back.json", four_changes)
    assert run("filter", home, "--min-side", "5").status == 0
    words = ["--model", detector, *PROMPTS, "--box-threshold", "0.5", "--overwrite"]
    assert run("detect", home, *words).status == 0
    done = run("import", file, "-w", home)
    assert done.status == 1
    assert "filter/ is stale" in done.err
    assert "autolabel filter" in done.err


def test_people_s_labels_follow_a_class_that_is_renamed_merged_or_dropped(
    run: Run, home: Path, tmp_path: Path
) -> None:
    file = edited(run, home, tmp_path / "back.json", four_changes)
    assert run("import", file, "-w", home).status == 0
    before = [len(one.kept) for one in labels(home)]
    platelets = [int((one.kept.label == "platelet").sum()) for one in labels(home)]
    words = ["--rename", "red blood cell=RBC", "--drop", "platelet"]
    assert run("relabel", home, *words).status == 0
    after = labels(home)
    assert {name for one in after for name in one.kept.label} == {"RBC", "white blood cell"}
    assert [len(one.kept) for one in after] == [
        a - b for a, b in zip(before, platelets, strict=True)
    ]
    assert after[0].kept.locked.all()
    data = exported(run, home, tmp_path / "renamed")
    assert [c["name"] for c in data["categories"]] == ["RBC", "white blood cell"]
    assert run("import", file, "-w", home, "--class-map", "red blood cell=RBC").status == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("filter", "filter/ was made from refine/"),
        ("corrected", "corrected/ holds people's labels"),
        ("refine_corrections", "refine_corrections/ holds people's labels"),
    ],
)
def test_a_stage_does_not_work_on_what_was_made_from_its_own_layer(
    run: Run, home: Path, tmp_path: Path, segmenter: Path, source: str, said: str
) -> None:
    refine = ["refine", home, "--model", segmenter]
    assert run(*refine).status == 0
    assert run("filter", home, "--min-side", "3").status == 0
    file = edited(run, home, tmp_path / "back.json", four_changes)
    assert run("import", file, "-w", home).status == 0
    before = [len(one) for one in labels(home)]
    done = run(*refine, "--from", source, "--overwrite")
    assert done.status == 2
    assert said in done.err
    assert [len(one) for one in labels(home)] == before
    assert run("status", home).status == 0
