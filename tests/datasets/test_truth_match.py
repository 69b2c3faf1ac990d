"""Which image of a layer is which hand-labelled image, and which of them are measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autolabel.datasets.truth_match import match_truth
from autolabel.errors import AutolabelError
from autolabel.evaluate.photos import find_evaluation_set
from tests.measuring import ONTOLOGY, config, evaluate, image, objects, record, true, truth_of

ROBOFLOW = "IMG-1_JPG.rf.0123456789abcdef0123456789abcdef.jpg"
BOX = [10, 10, 20, 20]
CAT = ("cat", 0.9, BOX)


@pytest.mark.parametrize(
    ("uris", "names", "pairs"),
    [
        (["a.jpg"], ["a.jpg"], [("a.jpg", "a.jpg")]),
        (["x/a.jpg"], ["a.jpg"], [("x/a.jpg", "a.jpg")]),
        (["x/a.jpg", "y/a.jpg"], ["y/a.jpg"], [("y/a.jpg", "y/a.jpg")]),
        (["x/a.jpg", "y/a.jpg"], [r"y\a.jpg"], [("y/a.jpg", r"y\a.jpg")]),
        (["a.jpg"], ["a.png"], [("a.jpg", "a.png")]),
        (["A.JPG"], ["a.jpg"], [("A.JPG", "a.jpg")]),
        (["a.jpg", "A.jpg"], ["A.jpg"], [("A.jpg", "A.jpg")]),
        (["x/a.jpg", "y/a.jpg"], ["a.jpg"], []),
        (["a.jpg", "a.png"], ["a.bmp"], []),
        (["a.jpg"], ["x/a.bmp", "y/a.bmp"], []),
        (["b.jpg"], ["a.jpg"], []),
        (["x/IMG 1.JPG", "IMG 2.JPG"], [ROBOFLOW], [("x/IMG 1.JPG", ROBOFLOW)]),
        (["IMG 1.JPG", "y/IMG_1.JPG"], [ROBOFLOW], []),
    ],
)
def test_images_are_matched_by_name(uris: Any, names: Any, pairs: Any) -> None:
    truth = truth_of(*(image(name, true()) for name in names))
    match = match_truth([record(uri) for uri in uris], truth)
    assert [(r.uri, i.name) for r, i in match.pairs] == pairs
    assert len(match.unmatched) == len(names) - len(pairs)
    assert match.without_truth == len(uris) - len(pairs)


def test_the_bytes_decide_before_the_name() -> None:
    records = [record("a.jpg", image_id="1"), record("b.jpg", image_id="2")]
    images = [image("a.jpg", true(), image_id="2"), image("b.jpg", true(), image_id="9")]
    match = match_truth(records, truth_of(*images))
    assert [(r.uri, i.name) for r, i in match.pairs] == [("b.jpg", "a.jpg")]
    assert match.unmatched[0].name == "b.jpg"
    assert match.without_truth == 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"split": "leak"}, "held out"),
        ({"split": "excluded"}, "excluded"),
        ({"error": "truncated"}, "unreadable: truncated"),
        ({"image_id": "other"}, "not in the layer"),
    ],
)
def test_an_unmatched_image_has_a_reason(more: dict[str, Any], reason: str) -> None:
    row = record("x.jpg", **{"image_id": "1", **more})
    match = match_truth([row], truth_of(image("a.jpg", true(), image_id="1")))
    assert match.pairs == []
    assert match.unmatched[0].reason == reason


def test_labels_for_another_size_are_not_compared() -> None:
    match = match_truth([record("a.jpg")], truth_of(image("a.jpg", true(), size=50)))
    assert "50 x 50" in match.unmatched[0].reason


def test_labels_that_tell_no_size_fit_any() -> None:
    match = match_truth([record("a.jpg")], truth_of(image("a.jpg", true(), size=0)))
    assert [i.name for _, i in match.pairs] == ["a.jpg"]


def test_a_photo_that_is_found_by_its_whole_name_is_not_found_by_a_part_of_it() -> None:
    images = [image("a.jpg", true()), image("x/a.png", true())]
    match = match_truth([record("a.jpg")], truth_of(*images))
    assert [i.name for _, i in match.pairs] == ["a.jpg"]
    assert [(u.name, u.reason) for u in match.unmatched] == [("x/a.png", "not in the layer")]


def test_what_is_measured_is_usable_in_every_layer() -> None:
    images = [image(name, true(("cat", BOX))) for name in ("a.jpg", "b.jpg", "c.jpg")]
    first = [record(f"{name}.jpg", objects(CAT)) for name in "abcd"]
    second = [*first[:1], replace(first[1], split="excluded"), first[2], first[3]]
    against, found = find_evaluation_set([first, second], truth_of(*images), ONTOLOGY, {})
    assert against.names == ("a.jpg", "c.jpg")
    assert [len(one) for one in found] == [2, 2]
    assert [u.name for u in against.unmatched] == ["b.jpg"]
    assert against.without_truth == 2  # b.jpg is in use in the first layer, and d.jpg


def test_no_image_in_common_is_an_error() -> None:
    with pytest.raises(AutolabelError, match=r"a\.jpg: not in the layer") as e:
        evaluate([record("b.jpg")], truth_of(image("a.jpg", true())), ONTOLOGY, config())
    assert "--label-truth" in e.value.hint


def test_it_tells_what_was_compared() -> None:
    images = [image("a.jpg", true(("cat", BOX))), image("gone.jpg", true())]
    rows = [record("a.jpg", objects(CAT)), record("more.jpg")]
    result = evaluate(rows, truth_of(*images), ONTOLOGY, config(bootstrap=5))
    assert result.photos.names == result.photos.uris == ("a.jpg",)
    assert [u.name for u in result.photos.unmatched] == ["gone.jpg"]
    assert result.photos.without_truth == 1
    assert result.row.intervals["ap"] == pytest.approx([1, 1])
    assert result.row.classes["cat"].truth == result.row.classes["cat"].predicted == 1
    assert result.row.classes["dog"].ap is None


def test_of_copies_of_one_photo_the_first_counts() -> None:
    copies = [image(name, true(), image_id="1") for name in ("a.jpg", "b.jpg")]
    row = replace(record("a.jpg"), image_id="1")
    match = match_truth([row], truth_of(*copies))
    assert [pair[1].name for pair in match.pairs] == ["a.jpg"]
    assert [(u.name, u.reason) for u in match.unmatched] == [("b.jpg", "the same photo as a.jpg")]
