from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth, read_hand_labels
from autolabel.datasets.labelme import from_shapes, to_labelme
from autolabel.errors import AutolabelError
from autolabel.ops.masks import boxes, decode, encode
from autolabel.types import Objects, Record
from tests.conftest import make_photos

BOX = {"label": "cat", "shape_type": "rectangle", "points": [[1, 2], [4, 6]]}


def polygon(*points: tuple[float, float], **more: Any) -> dict[str, Any]:
    return {"label": "cat", "shape_type": "polygon", "points": [list(p) for p in points], **more}


def painted(pixels: Any, left: int, top: int) -> dict[str, Any]:
    """A mask as labelme writes it: its box, whose last pixel is meant, and a PNG of 0 and 1."""
    crop = np.array(pixels, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(crop).save(stream, "PNG")
    corners = [[left, top], [left + crop.shape[1] - 1, top + crop.shape[0] - 1]]
    shown = base64.b64encode(stream.getvalue()).decode()
    return {"label": "cat", "shape_type": "mask", "points": corners, "mask": shown}


def read(
    *shapes: Any, width: int = 10, height: int = 8
) -> tuple[Objects, list[bool], Counter[str]]:
    skipped: Counter[str] = Counter()
    objects, ignore = from_shapes(shapes, width, height, skipped)
    return objects, ignore.tolist(), skipped


@pytest.mark.parametrize(
    ("shape", "box", "pixels"),
    [
        (BOX, [1, 2, 4, 6], None),
        ({**BOX, "points": [[4, 6], [1, 2]]}, [1, 2, 4, 6], None),
        ({**BOX, "points": [[1, 2], [4, 2], [4, 6], [1, 6]]}, [1, 2, 4, 6], None),  # X-AnyLabeling
        ({**BOX, "shape_type": "rotation", "points": [[3, 0], [6, 3], [3, 6], [0, 3]]},
         [0, 0, 6, 6], None),
        (polygon((1, 1), (3, 1), (3, 5), (1, 5)), [1, 1, 3, 5], 8),
        ({**polygon((1, 1), (3, 1), (3, 5), (1, 5)), "shape_type": None}, [1, 1, 3, 5], 8),
        (painted([[1, 1], [0, 1]], 3, 2), [3, 2, 5, 4], 3),
        ({**BOX, "shape_type": "circle", "points": [[5, 4], [8, 4]]}, [2, 1, 8, 7], 32),
    ],
)  # fmt: skip
def test_shapes(shape: Any, box: list[float], pixels: int | None) -> None:
    objects, ignore, skipped = read(shape)
    assert objects.label.tolist() == ["cat"]
    np.testing.assert_allclose(objects.xyxy, [box], atol=1e-6)
    assert (ignore, dict(skipped)) == ([False], {})
    (mask,) = objects.mask
    assert (mask is None) == (pixels is None)
    if mask is not None:
        assert int(decode([mask], 8, 10).sum()) == pixels


def test_shapes_of_one_group_are_one_object() -> None:
    left, right = (
        polygon((x, 1), (x + 2, 1), (x + 2, 5), (x, 5), group_id=3, score=0.5) for x in (0, 6)
    )
    other, alone = {**left, "label": "dog"}, {**left, "group_id": None}
    objects, *_ = read(left, BOX, right, other, alone, {**BOX, "group_id": 3})
    assert objects.label.tolist() == ["cat", "cat", "dog", "cat", "cat"]
    assert objects.xyxy[0].tolist() == [0, 1, 8, 5]
    assert int(decode([objects.mask[0]], 8, 10).sum()) == 16
    assert objects.score.tolist() == [0.5, 1, 0.5, 0.5, 1]


def test_what_has_no_area_is_counted_and_what_is_difficult_ignored() -> None:
    odd = [{**BOX, "shape_type": kind} for kind in ("point", "line", "linestrip", "point")]
    objects, ignore, skipped = read(*odd, {**BOX, "difficult": True}, {**BOX, "score": None})
    assert dict(skipped) == {"point shapes": 2, "line shapes": 1, "linestrip shapes": 1}
    assert (len(objects), ignore) == (2, [True, False])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (7, "no label"),
        ({**BOX, "label": 7}, "no label"),
        ({**BOX, "points": [[1, 2]]}, "usable points"),
        ({**BOX, "points": [[1, float("nan")], [2, 3]]}, "usable points"),
        ({**BOX, "points": [[1, 1e300], [2, 3]]}, "usable points"),
        ({**BOX, "points": "x"}, "usable points"),
        ({**BOX, "points": [[1, 2, 3], [4, 5, 6]]}, "usable points"),
        (polygon((1, 1), (2, 2)), "usable points"),
        ({**painted([[1]], 3, 2), "mask": "!"}, "no PNG"),
        ({**painted([[1]], 3, 2), "mask": "aGFsbG8="}, "no PNG"),
        ({**painted([[1]], 3, 2), "mask": None}, "without its PNG"),
        ({**painted([[1]], 3, 2), "points": [[3, 2], [4, 2]]}, "another size"),
        (painted([[1]], 10, 2), "not within its image"),
    ],
)
def test_what_is_wrong_is_said(shape: Any, message: str) -> None:
    with pytest.raises(AutolabelError, match=f"shape 0: .*{message}"):
        read(shape)


def test_a_mask_of_an_image_that_cannot_be_is_refused() -> None:
    for shape in (polygon((1, 1), (3, 1), (3, 5)), painted([[1]], 1, 1)):
        with pytest.raises(AutolabelError, match="shape 0"):
            read(shape, width=100_000, height=100_000)


@pytest.mark.parametrize("seed", range(4))
def test_small_masks_come_back_to_the_pixel(seed: int) -> None:
    """Up to 15 pixels wide, of one pixel and more, with holes and parts."""
    random = np.random.default_rng(seed)
    masks = np.zeros((50, 20, 18), bool)
    for mask in masks:
        rows, columns = random.integers(1, 16, 2)
        top, left = random.integers(0, 20 - rows + 1), random.integers(0, 18 - columns + 1)
        crop = random.random((rows, columns)) < random.choice([0.3, 0.6, 0.9])
        crop[0, 0] = True
        mask[top : top + rows, left : left + columns] = crop
    encoded = encode(masks)
    objects = Objects.create(["cat"] * 50, np.ones(50), boxes(encoded, 20, 18), mask=encoded)
    text = to_labelme(Record("", "", 18, 20, objects=objects), "a.png")
    back, _ = from_shapes(json.loads(text)["shapes"], 18, 20, Counter())
    assert back.mask.tolist() == encoded


def labelled(folder: Path, names: tuple[str, ...] = ("0000.png", "0001.png")) -> list[Path]:
    """Two photos, each with a file that names `names`."""
    photos = make_photos(folder, 2)
    for photo, name in zip(photos, names, strict=True):
        data = {"imagePath": name, "shapes": [BOX], "imageData": None}
        photo.with_suffix(".json").write_text(json.dumps(data), "utf-8")
    return photos


def by_name(truth: GroundTruth) -> dict[str, Path | None]:
    return {image.name: image.path for image in truth.records}


def test_a_folder_and_one_file(tmp_path: Path) -> None:
    photos = labelled(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    truth = read_ground_truth(tmp_path)
    assert (truth.names, by_name(truth)) == (("cat",), {p.name: p for p in photos})
    assert truth.skipped_in_words == "1 JSON files that are not LabelMe's"
    assert truth.records[0].width == 96
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\ncat\n")
    one = read_ground_truth(photos[1].with_suffix(".json"))
    assert (one.names, by_name(one)) == (("dog", "cat"), {photos[1].name: photos[1]})


def test_the_image_is_looked_for_beside_and_never_outside(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    outside = make_photos(tmp_path / "outside", 1)[0]
    names = ("../../outside/secret.png", str(outside.with_name("other.png")))
    photos = labelled(tmp_path / "set/images", names)
    for name in ("secret.png", "other.png"):
        outside.with_name(name).write_bytes(outside.read_bytes())
    (tmp_path / "set/labels").mkdir()
    for photo in photos:
        photo.with_suffix(".json").rename(tmp_path / "set/labels" / f"{photo.stem}.json")
    found = by_name(read_ground_truth(tmp_path / "set"))
    assert set(found.values()) == set(photos)  # by the names of the files that name them


def test_a_copied_export_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(to_labelme(Record("", "", 9, 9), "a.png"), "utf-8")
    with pytest.raises(AutolabelError, match="exported by autolabel"):
        read_hand_labels(tmp_path / "a.json")
