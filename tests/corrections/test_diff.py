"""What is different between labels: counted by class, named by image, and nothing passed over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autolabel.corrections.diff import LabelDiff, diff_layers, diff_truth
from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.store import Layer, Workspace
from autolabel.types import Objects
from tests.review.labelled import one, several, workspace, write

BEFORE = several(one("cat", 0.9), one("cat", 0.8, 40), one("dog", 0.7, 70))


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return workspace(tmp_path, [BEFORE] * 3)


def changed(home: Workspace, labels: list[Objects]) -> LabelDiff:
    """From `detect` to these labels of the same photos."""
    source = home.layer("detect")
    other = write(home, source, "filter", {"ontology": {"classes": {"cat": ["cat"]}}}, labels)
    return diff_layers(source, other)


def test_each_kind_of_change_is_counted_under_its_class(home: Workspace) -> None:
    now = several(one("cat", 0.9), one("cat", 0.8, 44), one("owl", 0.7, 70), one("owl", 1, 0))
    found = changed(home, [now, BEFORE, BEFORE[:2]])
    assert found.images == 3
    assert {name: dict(counts) for name, counts in found.classes.items()} == {
        "cat": {"same": 5, "moved": 1},
        "dog": {"same": 1, "relabelled": 1, "removed": 1},
        "owl": {"added": 1},
    }
    assert dict(found.relabelled) == {("dog", "owl"): 1}
    assert [(image.record.uri, image.changes) for image in found.changed] == [
        ("0000.png", 3), ("0002.png", 1),
    ]  # fmt: skip


def test_the_json_names_every_object(home: Workspace) -> None:
    now = several(one("cat", 0.9), one("cat", 0.8, 44), one("owl", 0.7, 70), one("owl", 1, 0))
    found = json.loads(json.dumps(changed(home, [now, BEFORE, BEFORE[:2]]).as_json()))
    assert found["changed_images"] == 2
    assert found["totals"] == {
        "same": 6, "moved": 1, "relabelled": 1, "added": 1, "removed": 1,
    }  # fmt: skip
    first, second = found["changes"]
    assert first["moved"] == [{"label": "cat", "from": [40, 10, 60, 30], "to": [44, 10, 64, 30]}]
    assert first["relabelled"] == [
        {
            "from": {"label": "dog", "xyxy": [70, 10, 90, 30]},
            "to": {"label": "owl", "xyxy": [70, 10, 90, 30]},
        }
    ]
    assert first["added"] == [{"label": "owl", "xyxy": [0, 10, 20, 30]}]
    assert second["removed"] == [{"label": "dog", "xyxy": [70, 10, 90, 30]}]


def test_rejected_labels_are_none(home: Workspace) -> None:
    rejected = one("cat", 0.9, 75, keep=False, reason="min_score: 0.1 < 0.2")
    gone = several(BEFORE[:2], one("dog", 0.7, 70, keep=False, reason="border: 0 px <= 0"))
    found = changed(home, [several(BEFORE, rejected), BEFORE, gone])
    assert dict(found.totals) == {"same": 8, "removed": 1}


def test_images_of_one_side_alone_are_named(home: Workspace) -> None:
    source = home.layer("detect")
    other = write(home, source, "filter", {}, [BEFORE] * 3)
    other.shard_path(1).unlink()
    found = diff_layers(source, other)
    assert (found.images, found.only_in_a, found.only_in_b) == (2, ["0002.png"], [])
    found = diff_layers(other, source)
    assert (found.images, found.only_in_a) == (2, [])
    assert found.only_in_b == [("0002.png", "not in the layer")]


def coco(folder: Path, names: dict[str, list[list[float]]]) -> Path:
    """A COCO file beside no photos: images match by name."""
    images = [
        {"id": i, "file_name": name, "width": 96, "height": 64} for i, name in enumerate(names, 1)
    ]
    boxes = [(i, box) for i, found in enumerate(names.values(), 1) for box in found]
    annotations = [
        {"id": n, "image_id": i, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0}
        for n, (i, box) in enumerate(boxes, 1)
    ]
    path = folder / "labels.json"
    path.write_text(
        json.dumps(
            {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 1, "name": "cat"}],
            }
        )
    )
    return path


def against(layer: Layer, path: Path, **options: float) -> LabelDiff:
    return diff_truth(layer, read_ground_truth(path), **options)


def test_labels_of_a_file_are_compared_and_what_does_not_match_is_listed(
    home: Workspace, tmp_path: Path
) -> None:
    boxes = [[10, 10, 20, 20], [40, 12, 20, 20]]
    path = coco(tmp_path, {"0000.png": boxes, "x/0001.jpg": [], "other.png": []})
    found = against(home.layer("detect"), path)
    assert found.images == 2
    assert dict(found.totals) == {"same": 1, "moved": 1, "removed": 4}
    assert found.only_in_a == ["0002.png"]
    assert found.only_in_b == [("other.png", "not in the layer")]


def test_how_far_a_corner_may_be_off_is_asked_for(home: Workspace, tmp_path: Path) -> None:
    path = coco(tmp_path, {"0000.png": [[10, 10, 20, 20], [40, 12, 20, 20]]})
    assert against(home.layer("detect"), path, same_px=2.0).totals["same"] == 2


def test_an_image_that_nobody_looked_at_has_lost_nothing(home: Workspace, tmp_path: Path) -> None:
    yolo = tmp_path / "yolo"
    for name in ("images", "labels"):
        (yolo / name).mkdir(parents=True)
    for photo in sorted((tmp_path / "photos").iterdir())[:2]:
        (yolo / "images" / photo.name).write_bytes(photo.read_bytes())
    (yolo / "classes.txt").write_text("cat\ndog\n")
    (yolo / "labels" / "0000.txt").write_text(
        "".join(
            f"{k} {(x + 10) / 96} {20 / 64} {20 / 96} {20 / 64}\n"
            for k, x in ((0, 10), (0, 40), (1, 70))
        )
    )
    found = against(home.layer("detect"), yolo)
    assert dict(found.totals) == {"same": 3}
    assert found.only_in_b == [("0001.png", "nothing says that anybody looked at it")]
    assert found.only_in_a == ["0001.png", "0002.png"]


def test_what_differs_in_its_mask_alone_has_moved(home: Workspace) -> None:
    from autolabel.ops.masks import encode

    full, half = np.zeros((2, 64, 96), bool)
    full[10:30, 10:30] = half[10:20, 10:30] = True
    whole, part = ([rle] for rle in encode(np.stack([full, half])))
    source = home.layer("images")
    a = write(home, source, "refine", {}, [one("cat", 1, mask=whole[0])] * 3)
    b = write(home, source, "filter", {}, [one("cat", 1, mask=m) for m in (*whole, *part, None)])
    found = diff_layers(a, b)
    assert [image.record.uri for image in found.changed] == ["0001.png"]
