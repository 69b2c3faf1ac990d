"""Label Studio's exports, as it writes them and as somebody could forge them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth, read_hand_labels
from autolabel.datasets.label_studio_brush import from_brush, to_brush
from autolabel.datasets.label_studio_config import (
    BRUSH,
    POLYGON,
    RECTANGLE,
    from_xml,
    labelling_of,
    to_xml,
)
from autolabel.datasets.label_studio_regions import regions_of, to_objects, to_regions
from autolabel.errors import AutolabelError
from autolabel.ops.masks import areas, boxes, decode, encode, iou
from autolabel.testing.dataset_format import CLASSES
from autolabel.types import Correction, Objects, Record
from tests.conftest import make_photos
from tests.datasets.conftest import HEIGHT, WIDTH, Fixture, ring_and_disc

NUMBERS = itertools.count()
SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def region(kind: str, value: dict[str, Any], label: str | None = "cat", **more: Any) -> dict:
    labels = {kind: [label]} if label else {}
    names = {"id": f"r{next(NUMBERS)}", "from_name": "x", "to_name": "image", "type": kind}
    return {**names, **SIZE, "value": {**value, **labels}, "origin": "manual", **more}


def box(x: float = 10, y: float = 20, width: float = 30, height: float = 40, **more: Any) -> dict:
    return region(RECTANGLE, {"x": x, "y": y, "width": width, "height": height}, **more)


def annotation(*results: dict, **more: Any) -> dict:
    times = {"created_at": "2026-01-01T10:00:00.000000Z", "updated_at": "2026-01-02T10:00:00.0Z"}
    return {
        "id": 1,
        "completed_by": 7,
        "was_cancelled": False,
        **times,
        "result": list(results),
    } | more


def task(*annotations: dict, image: str = "/data/upload/1/0a1b2c3d-a.jpg", **more: Any) -> dict:
    return {"id": 1, "data": {"image": image}, "annotations": list(annotations), **more}


def read(folder: Path, *tasks: Any) -> GroundTruth:
    file = folder / "export.json"
    file.write_text(json.dumps(tasks), "utf-8")
    return read_hand_labels(file)


# -- brush masks -------------------------------------------------------------------------------

ENCODED = {
    # What label-studio-sdk 2.1.2 writes of these masks: converter.brush.mask2rle(255 * mask).
    (1, 1, "1"): [0, 0, 0, 4, 57, 27, 252, 127, 224],
    (2, 3, "011000"): [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 219, 0, 0],
    (3, 3, "111111111"): [0, 0, 0, 36, 57, 27, 254, 35, 255, 0],
}


@pytest.mark.parametrize(("given_mask", "expected"), ENCODED.items())
def test_a_mask_is_written_as_by_label_studio(
    given_mask: tuple[int, int, str], expected: list[int]
) -> None:
    height, width, text = given_mask
    mask = np.array([int(c) for c in text], bool).reshape(height, width)
    (counts,) = encode(mask[None])
    assert list(to_brush(counts, height, width)) == expected
    assert from_brush(bytes(expected), height, width) == counts


SOFT = bytes.fromhex(
    "00000030391bfcc0000544000324400064440007fc40007fc40007fc400041440003ec400004ce00"
)
"""Label-studio-sdk wrote it; alpha 0 10 100 200 255 255, 255 130 125 9 0 0, other channels 0."""


FROM_BROWSER = bytes.fromhex(
    "00000030391bfc60088f54d8dc2b50d8e1934cd8e72348d8ebff44d8efff40d8f3ff3cd8f60b38d8f9f734d8fc267000"
)
"""The same alpha in reds, as rle-pack 3.2.12 wrote it, which Label Studio's editor writes with."""


@pytest.mark.parametrize("written", [SOFT, FROM_BROWSER])
def test_soft_edges_belong_from_half_of_the_highest_alpha(written: bytes) -> None:
    (mask,) = decode([from_brush(written, 2, 6)], 2, 6)
    assert mask.astype(int).tolist() == [[0, 0, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0]]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99)
)
def test_a_mask_survives(height: int, width: int, grain: int, share: float, seed: int) -> None:
    blobs = np.random.default_rng(seed).random((-(-height // grain), -(-width // grain))) < share
    mask = np.kron(blobs, np.ones((grain, grain), bool))[:height, :width]
    (counts,) = encode(mask[None])
    assert from_brush(to_brush(counts, height, width), height, width) == counts


def test_runs_longer_than_a_code_are_several() -> None:
    mask = np.zeros((300, 500), bool)
    mask[100:280] = True
    (counts,) = encode(mask[None])
    assert from_brush(to_brush(counts, 300, 500), 300, 500) == counts


# -- writing -----------------------------------------------------------------------------------


def test_masks_are_brush_masks_or_polygons(masked: Fixture) -> None:
    masked.export("label-studio")
    config = from_xml((masked.out / "config.xml").read_bytes())
    assert list(config.controls) == [BRUSH, RECTANGLE]
    tasks = json.loads((masked.out / "tasks.json").read_text())
    for one in tasks:
        results = one["predictions"][0]["result"]
        assert [r["type"] for r in results] == [BRUSH, BRUSH, RECTANGLE]
        for r in results:
            assert config.controls[r["type"]].name == r["from_name"]
            assert r["value"][r["type"]][0] in config.labels
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=images/train/0000.png"


def test_masks_are_polygons_if_asked(masked: Fixture) -> None:
    done = masked.export("label-studio", polygons=True)
    assert "holes" not in done.lost
    (first, *_) = read_ground_truth(masked.out).records
    for mask, back in zip(ring_and_disc(), first.objects.mask, strict=False):
        assert iou(encode(mask[None]), [back], HEIGHT, WIDTH)[0, 0] > 0.9


def test_a_photo_is_named_as_label_studio_reads_an_address(tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path / "photos", 1)
    odd = Fixture(tmp_path, [photo.rename(photo.with_name("a & b%20#c+d.png"))])
    odd.export("label-studio")
    (one,) = json.loads((odd.out / "tasks.json").read_text())
    asked = parse_qs(urlsplit(one["data"]["image"]).query)
    assert asked == {"d": ["images/train/a & b%20#c+d.png"]}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.2, 1), st.integers(0, 99))
def test_a_mask_survives_as_a_polygon(height: int, width: int, share: float, seed: int) -> None:
    blobs = np.random.default_rng(seed).random((-(-height // 7), -(-width // 7))) < share
    mask = np.kron(blobs, np.ones((7, 7), bool))[:height, :width]
    if not mask.any():
        return
    (counts,) = encode(mask[None])
    objects = Objects.create(["cat"], [0.5], boxes([counts], height, width), mask=[counts])
    record = Record("", "", width, height, objects=objects)
    regions, lost = to_regions(record, labelling_of(["cat"], [POLYGON, RECTANGLE]))
    back = to_objects(regions_of(regions), (0, 0), None, Counter())
    assert (len(regions), lost) == (1, {})
    found = iou([counts], [back.mask[0]], height, width)[0, 0]
    differ = areas([counts], height, width)[0] - areas([back.mask[0]], height, width)[0]
    assert found > 0.8 or abs(differ) <= 4


def test_what_the_labelling_cannot_draw_is_counted() -> None:
    (counts,) = encode(np.ones((1, 4, 4), bool))
    objects = Objects.create(["cat"] * 2, [1, 1], [[0, 0, 4, 4]] * 2, mask=[counts, None])
    record = Record("", "", 4, 4, objects=objects)
    assert to_regions(record, labelling_of(["cat"], [RECTANGLE]))[1] == {"masks": 1}
    regions, lost = to_regions(record, labelling_of(["cat"], [BRUSH]))
    assert ([r["type"] for r in regions], lost) == ([BRUSH], {"boxes": 1})
    regions, lost = to_regions(record, labelling_of(["cat"], [POLYGON]))
    assert ([r["type"] for r in regions], lost) == ([POLYGON] * 2, {})


def test_a_class_is_drawn_by_a_tag_that_offers_it() -> None:
    (counts,) = encode(np.ones((1, 4, 4), bool))
    objects = Objects.create(["cat", "dog"], [1, 1], [[0, 0, 4, 4]] * 2, mask=[counts] * 2)
    xml = """<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i"><Label value="dog"/>
        </BrushLabels><RectangleLabels name="r" toName="i"><Label value="cat"/></RectangleLabels>
        </View>"""
    regions, _ = to_regions(Record("", "", 4, 4, objects=objects), from_xml(xml))
    assert [(r["type"], r["from_name"]) for r in regions] == [(RECTANGLE, "r"), (BRUSH, "b")]


def test_names_survive_the_config() -> None:
    labelling = labelling_of(CLASSES, [BRUSH, RECTANGLE])
    assert from_xml(to_xml(labelling)) == labelling


def test_our_own_export_is_no_hand_label(made: Fixture, tmp_path: Path) -> None:
    made.export("label-studio")
    alone = tmp_path / "renamed.json"
    alone.write_bytes((made.out / "tasks.json").read_bytes())
    with pytest.raises(AutolabelError, match="exported by autolabel"):
        read_hand_labels(alone)


# -- reading -----------------------------------------------------------------------------------


def test_who_did_what_and_when(tmp_path: Path) -> None:
    made = annotation(
        box(origin="manual"), box(20, origin="prediction"), box(30, origin="prediction-changed"),
        completed_by={"id": 7, "email": "ann@example.org"},
    )  # fmt: skip
    (image,) = read(tmp_path, task(made)).records
    when = made["updated_at"]
    assert image.objects.correction.tolist() == [
        Correction(action, "ann@example.org", when) for action in ("drawn", "confirmed", "moved")
    ]
    assert image.objects.xyxy[0].tolist() == [20, 20, 80, 60]
    assert (image.name, image.width, image.height) == ("a.jpg", 200, 100)


@pytest.mark.parametrize(
    ("given_region", "expected"),
    [
        (box(50, 0, 25, 50, rotation=0), [100, 0, 150, 50]),
        (region(POLYGON, {"points": [[10, 10], [50, 10], [50, 90]]}), [20, 10, 100, 90]),
        (region("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 30}),
         [80, 20, 120, 80]),
        (region("ellipselabels", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 90}),
         [90, 10, 110, 90]),
    ],
)  # fmt: skip
def test_shapes(tmp_path: Path, given_region: dict, expected: list[float]) -> None:
    (image,) = read(tmp_path, task(annotation(given_region))).records
    np.testing.assert_allclose(image.objects.xyxy, [expected], atol=1)


def test_a_turned_rectangle_is_turned_around_its_corner(tmp_path: Path) -> None:
    given_region = region(RECTANGLE, {"x": 50, "y": 20, "width": 20, "height": 30, "rotation": 90})
    (image,) = read(tmp_path, task(annotation(given_region))).records
    np.testing.assert_allclose(image.objects.xyxy, [[70, 20, 100, 60]], atol=1)
    assert areas([image.objects.mask[0]], 100, 200)[0] == pytest.approx(40 * 30, abs=80)


def test_a_shape_and_its_labels_may_be_two_results(tmp_path: Path) -> None:
    shape = {"x": 0, "y": 0, "width": 50, "height": 50}
    pair = [
        region("rectangle", shape, None, id="one"),
        region("labels", {**shape, "labels": ["dog"]}, None, id="one"),
        region("textarea", {**shape, "text": ["12"]}, None, id="one"),
    ]
    truth = read(tmp_path, task(annotation(*pair)))
    assert truth.records[0].objects.label.tolist() == ["dog"]
    assert truth.skipped == {}


@pytest.mark.parametrize(
    ("annotations", "left"),
    [
        ([annotation(box(1)), annotation(box(2), updated_at="2026-01-03")], 2),
        ([annotation(box(1), ground_truth=True), annotation(box(2), updated_at="2026-01-03")], 1),
        ([annotation(box(1)), annotation(box(2), updated_at="2026-01-03", was_cancelled=True)], 1),
    ],
)  # fmt: skip
def test_one_annotation_of_a_task_counts(
    tmp_path: Path, annotations: list[dict], left: float
) -> None:
    truth = read(tmp_path, task(*annotations))
    assert truth.records[0].objects.xyxy[:, 0].tolist() == [2 * left]
    assert sum(truth.skipped.values()) == 1


def test_an_image_that_nobody_annotated_is_not_empty(tmp_path: Path) -> None:
    """One in which somebody found nothing is."""
    guess = {"model_version": "m", "result": [box()]}
    truth = read(
        tmp_path,
        task(annotation(), image="a.jpg"),
        task(annotation(was_cancelled=True), image="b.jpg"),
        task(image="c.jpg", predictions=[guess]),
    )
    assert [(image.name, len(image.objects)) for image in truth.records] == [("a.jpg", 0)]
    assert truth.skipped["tasks without an annotation"] == 2


def test_predictions_alone_are_a_machines(tmp_path: Path) -> None:
    guess = {"model_version": "m", "result": [box(score=0.25)]}
    (image,) = read(tmp_path, {"data": {"image": "a.jpg"}, "predictions": [guess]}).records
    assert image.objects.score.tolist() == [0.25]
    assert not image.objects.locked.any()


def test_json_min(tmp_path: Path) -> None:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["cat"]}
    sized = {**value, "original_width": 200, "original_height": 100}
    row = {"image": "/data/upload/1/0a1b2c3d-a.jpg", "id": 5, "label": [sized], "annotator": 7}
    times = {"annotation_id": 3, "updated_at": "2026-01-02", "lead_time": 3.2}
    older = {**row, "label": [], "annotation_id": 2, "updated_at": "2026-01-01"}
    truth = read(tmp_path, older, row | times)
    (image,) = truth.records
    assert image.objects.xyxy.tolist() == [[20, 20, 80, 60]]
    assert image.objects.correction.tolist() == [Correction("confirmed", "7", "2026-01-02")]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("/data/upload/12/0a1b2c3d-0000.png", "0000.png"),
        ("/data/upload/12/0a1b2c3d-0000.png", "images/0a1b2c3d-0000.png"),
        ("/data/local-files/?d=photos/0000.png", "photos/0000.png"),
        ("/data/local-files/?d=elsewhere/photos/0000.png", "images/0000.png"),
        ("https://example.org/data/0000.png?size=3", "0000.png"),
        ("s3://bucket/deep/0000.png", "deep/0000.png"),
        ("/data/local-files/?d=..%2F..%2F0000.png", "0000.png"),
    ],
)
def test_an_image_is_found_by_its_name(tmp_path: Path, value: str, stored: str) -> None:
    (photo,) = make_photos(tmp_path / "made", 1)
    (tmp_path / "set" / stored).parent.mkdir(parents=True, exist_ok=True)
    photo.rename(tmp_path / "set" / stored)
    (image,) = read(tmp_path / "set", task(annotation(box()), image=value)).records
    assert image.path == tmp_path / "set" / stored


def test_the_config_beside_it_tells_the_order_of_classes(tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text(to_xml(labelling_of(["dog", "cat"], [RECTANGLE])))
    assert read(tmp_path, task(annotation(box()))).names == ("dog", "cat")


def test_what_is_no_object_is_counted(tmp_path: Path) -> None:
    truth = read(
        tmp_path,
        task(
            annotation(
                box(),
                box(label=None),
                region("keypointlabels", {"x": 1, "y": 2, "width": 1}),
                region("choices", {"choices": ["day"]}, None),
                {"type": "relation", "from_id": "a", "to_id": "b"},
                {"type": "\x1b[31m" * 9},
                box(image_rotation=90),
                region(RECTANGLE, {"x": 1, "y": 1, "width": 5, "height": 5, RECTANGLE: ["a", "b"]},
                       None),
            )
        ),
    )  # fmt: skip
    assert len(truth.records[0].objects) == 2
    assert truth.skipped == {
        "regions without a label": 1,
        "keypointlabels": 1,
        "choices": 1,
        "relation": 1,
        "results of unknown type": 1,
        "regions of a turned view": 1,
        "further labels of a region": 1,
    }


def test_an_image_in_a_turned_view_is_not_taken_for_emptied(tmp_path: Path) -> None:
    truth = read(
        tmp_path,
        task(annotation(box(image_rotation=90)), image="a.jpg"),
        task(annotation(box()), image="b.jpg"),
    )
    assert [image.looked_at for image in truth.records] == [False, True]


# -- hostile -----------------------------------------------------------------------------------

HUGE = {"original_width": 100_000, "original_height": 100_000}
RLE = {"format": "rle", "rle": list(bytes.fromhex("ffffffff391bfc80000000"))}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (box(float("nan")), "far outside the image"),
        (box(1e300), "far outside the image"),
        (box("12"), "not all numbers"),  # type: ignore[arg-type]
        (box(True), "not all numbers"),
        (region(RECTANGLE, {"x": 1, "y": 1, "width": 5, "height": 5, "rotation": [1]}), "numbers"),
        (region(POLYGON, {"points": "abc"}), "damaged"),
        (region(POLYGON, {"points": [[1, 2], [3]]}), "damaged"),
        (region(POLYGON, {"points": [[1, 2], [3, float("inf")], [4, 5]]}), "far outside"),
        (region(POLYGON, {"points": [[1, 2], [50, 3], [4, 5]]}, **HUGE), "pixels is over"),
        (region(BRUSH, RLE, **HUGE), "pixels is over"),
        (region(BRUSH, RLE), "it has 4294967295 values"),
        (region(BRUSH, {"rle": 10**12}), "not a list"),
        (region(BRUSH, {"rle": [300]}), "damaged"),
        (region(BRUSH, {"rle": ["a"]}), "damaged"),
        (region(BRUSH, {"rle": []}), "damaged"),
        (region(BRUSH, {"rle": [0, 1, 56, 128, 57, 27, 252]}), "ends early"),
        ("text", "not a mapping"),
    ],
)
def test_damage_is_said(tmp_path: Path, bad: Any, said: str) -> None:
    with pytest.raises(AutolabelError, match=said) as raised:
        read(tmp_path, task(annotation(bad)))
    assert "task 1" in raised.value.message


@pytest.mark.parametrize(
    "tasks",
    [
        [task(annotation(result=None))],
        [task(annotation(result={"a": 1}))],
        [{"data": {"image": "a.jpg"}, "annotations": {"x": 1}, "predictions": 3}],
        [{"data": [], "annotations": []}],
        [task(annotation(box()), image="")],
        [task(annotation(box())), 3],
        [{"annotation_id": 1, "annotator": 2, "label": [3]}],
    ],
)
def test_files_of_another_shape_are_an_error(tmp_path: Path, tasks: list[Any]) -> None:
    with pytest.raises(AutolabelError):
        read(tmp_path, *tasks)


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ('<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><View>&y;</View>', "entities"),
        ("<View>", "not valid XML"),
        ("<View><Text name='t' value='$t'/></View>", "no tag that labels"),
    ],
)
def test_a_config_that_is_none_is_said(tmp_path: Path, xml: str, said: str) -> None:
    (tmp_path / "config.xml").write_text(xml)
    with pytest.raises(AutolabelError, match=said):
        read(tmp_path, task(annotation(box())))


def test_an_export_of_ours_that_was_annotated_is_read(made: Fixture) -> None:
    """A task comes back with the fields of its data, and no other of ours."""
    made.export("label-studio")
    tasks = json.loads((made.out / "tasks.json").read_text())
    for one in tasks:
        del one["made_by"]
        one["annotations"] = [annotation(*one["predictions"][0]["result"])]
        one["predictions"] = [1]
    (made.out / "back").mkdir()
    file = made.out / "images" / "back.json"
    file.write_text(json.dumps(tasks))
    found = read_ground_truth(file)
    assert [image.objects.label.tolist() for image in found.records[:2]] == [["dog", "cat"]] * 2
    assert replace(found.records[0], path=None).name == "images/train/0000.png"
