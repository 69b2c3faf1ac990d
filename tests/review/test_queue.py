"""The order in which people look: what it puts first, what it leaves out, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.corrections.decisions import Decision, Decisions
from autolabel.errors import UsageError
from autolabel.review import queue as queues
from autolabel.review.queue import HOWS, Look, ranked, ranked_images
from autolabel.store import STUDENT
from autolabel.types import Correction, Objects
from tests.review.labelled import embedded, one, several, workspace, write

SURE = several(*(one("cat", 0.9, x) for x in (10, 40, 70)))


def places(looks: list[Look]) -> list[tuple[str, str, float]]:
    return [(look.uri, look.label, look.xyxy[0]) for look in looks]


def test_a_low_score_for_its_class_comes_first_and_says_so(tmp_path: Path) -> None:
    dogs = several(one("dog", 0.5), one("dog", 0.52, 50))
    home = workspace(tmp_path, [SURE, several(one("cat", 0.6), one("cat", 0.9, 50)), dogs])
    first, *_ = ranked(home, home.layer("detect"), "uncertain")
    assert (first.uri, first.label, first.index) == ("0001.png", "cat", 0)
    assert first.xyxy == (10, 10, 30, 30)
    assert first.keep
    assert first.reasons == ("the detector is unsure: 0.60 where 0.90 is usual",)


def test_what_another_model_contradicts_comes_first(tmp_path: Path) -> None:
    seen = {"clip": 0.95, "clip_margin": 0.9, "dinov2_ratio": 0.01}
    odd = {"clip": 0.2, "clip_margin": -0.6, "dinov2_ratio": 0.01}
    like_a_dog = {**seen, "dinov2_ratio": 0.9}
    home = workspace(
        tmp_path,
        [one("cat", 0.9, scores=seen), one("cat", 0.9, scores=odd),
         one("cat", 0.9, scores=like_a_dog)],
    )  # fmt: skip
    found = ranked(home, home.layer("detect"), "disagree")
    assert [look.uri for look in found] == ["0002.png", "0001.png", "0000.png"]
    assert found[0].reasons[0] == "to DINOv2 it is nearly as like another class: 0.90 of 1"
    assert found[1].reasons[0] == "CLIP sees something else than cat: 0.20"


def test_two_classes_in_one_place_are_doubted_both(tmp_path: Path) -> None:
    home = workspace(tmp_path, [SURE, several(one("cat", 0.9), one("dog", 0.9, 12))])
    first, second, *_ = ranked(home, home.layer("detect"))
    assert {first.label, second.label} == {"cat", "dog"}
    assert first.uri == second.uri == "0001.png"
    assert "is labelled in the same place" in first.reasons[0]


def test_a_rejected_label_that_the_detector_was_sure_of_may_be_looked_at(tmp_path: Path) -> None:
    sure = one("cat", 0.9, keep=False, reason="clip_margin: dog 0.9 > 0.1")
    doubled = one("cat", 0.9, keep=False, reason="nms_iou: 0.9 > 0.5")
    home = workspace(tmp_path, [several(one("cat", 0.3, 50), one("cat", 0.9, 70)), sure, doubled])
    rejected = [look for look in ranked(home, home.layer("detect")) if not look.keep]
    assert [look.uri for look in rejected] == ["0001.png"]
    assert rejected[0].reasons == (
        "rejected (clip_margin: dog 0.9 > 0.1), but the detector gives 0.90",
    )
    assert all(look.keep for look in ranked(home, home.layer("detect"), "uncertain"))


def test_rare_classes_and_one_class(tmp_path: Path) -> None:
    home = workspace(tmp_path, [SURE, several(one("owl", 0.8), one("dog", 0.8, 50)), one("dog", 1)])
    layer = home.layer("detect")
    rare = ranked(home, layer, "rare")
    assert [look.label for look in rare] == ["owl", "dog", "dog", "cat", "cat", "cat"]
    assert rare[0].reasons[0] == "one of 1 labels of its class (16.7%)"
    assert [look.label for look in ranked(home, layer, "class=dog")] == ["dog", "dog"]


@pytest.mark.parametrize(
    ("how", "message", "hint"),
    [
        ("unsure", "there is no queue 'unsure'", "class=NAME"),
        ("class=cta", "no label of detect/ is of class 'cta'", "cat"),
    ],
)
def test_an_unknown_queue_is_refused(tmp_path: Path, how: str, message: str, hint: str) -> None:
    home = workspace(tmp_path, [SURE])
    with pytest.raises(UsageError, match=message) as refused:
        ranked(home, home.layer("detect"), how)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize("how", [*HOWS, "class=cat"])
def test_the_same_seed_gives_the_same_order_and_a_limit_its_length(
    tmp_path: Path, how: str
) -> None:
    home = workspace(tmp_path, [SURE] * 5)
    layer = home.layer("detect")
    assert ranked(home, layer, how, 7, seed=3) == ranked(home, layer, how, 7, seed=3)
    assert len(ranked(home, layer, how, 7)) == 7
    assert len(ranked(home, layer, how)) == 15
    assert len(ranked_images(home, layer, how, 2)) == 2
    assert len(ranked_images(home, layer, how)) == 5


def test_another_seed_draws_another_sample(tmp_path: Path) -> None:
    home = workspace(tmp_path, [SURE] * 5)
    first, second = (ranked(home, home.layer("detect"), "random", 10, seed=s) for s in (0, 1))
    assert places(first) != places(second)
    assert {look.reasons for look in first} == {("drawn at random",)}


def test_what_people_decided_is_left_out_and_what_they_skipped_comes_last(tmp_path: Path) -> None:
    home = workspace(tmp_path, [several(*(one("cat", 0.9 - x / 100, x) for x in (10, 40, 70)))])
    said = Decisions(home.path)
    box = (70.0, 10.0, 90.0, 30.0)
    image = home.layer("detect").read(0)[0].image_id
    doubtful = ranked(home, home.layer("detect"))
    assert [look.xyxy[0] for look in doubtful] == [70, 40, 10]
    skipped = Decision(image_id=image, action="skipped", via="review", label="cat", xyxy=box)
    said.append(skipped)
    assert [look.xyxy[0] for look in ranked(home, home.layer("detect"))] == [40, 10, 70]
    judged = {"label": "cat", "xyxy": [40, 10, 60, 30]}
    deleted = Decision(
        image_id=image, action="deleted", via="review", label="cat", xyxy=box, was=judged
    )
    said.append(deleted)
    assert [look.xyxy[0] for look in ranked(home, home.layer("detect"))] == [10]
    for one_of in (skipped, deleted):
        said.append(Decision(image_id=image, action="undone", via="review", undoes=one_of.id))
    assert [look.xyxy[0] for look in ranked(home, home.layer("detect"))] == [70, 40, 10]


def test_a_locked_label_is_left_out(tmp_path: Path) -> None:
    locked = one("cat", 0.2, correction=Correction("confirmed"))
    home = workspace(tmp_path, [SURE, locked])
    assert {look.uri for look in ranked(home, home.layer("detect"))} == {"0000.png"}


def test_images_are_worth_what_their_labels_are(tmp_path: Path) -> None:
    some = several(one("cat", 0.5), one("cat", 0.9, 40))
    more = several(one("cat", 0.5), one("cat", 0.5, 40))
    home = workspace(tmp_path, [SURE, some, more])
    found = ranked_images(home, home.layer("detect"))
    assert [image.uri for image in found] == ["0002.png", "0001.png", "0000.png"]
    assert found[0].worth == pytest.approx(2 * found[1].worth)
    assert found[0].reasons[0] == "cat: the detector is unsure: 0.50 where 0.90 is usual"


def test_images_that_people_worked_on_come_last_and_those_they_miss_something_in_first(
    tmp_path: Path,
) -> None:
    doubtful = several(one("cat", 0.3), one("cat", 0.3, 60))
    home = workspace(tmp_path, [SURE, doubtful, one("cat", 0.8), SURE])
    ids = {record.uri: record.image_id for record in home.layer("detect").records()}
    said, box = Decisions(home.path), (10.0, 10.0, 30.0, 30.0)
    said.append(
        Decision(image_id=ids["0001.png"], action="confirmed", via="review", label="cat", xyxy=box)
    )
    said.append(Decision(image_id=ids["0003.png"], action="missing", via="review"))
    for limit in (None, 4):
        found = ranked_images(home, home.layer("detect"), limit=limit)
        uris = [image.uri for image in found]
        assert uris[0] == "0003.png"
        assert uris[1:3] == ["0002.png", "0000.png"]
        assert uris[3] == "0001.png"
        assert found[0].reasons[0] == "a person says that something is missing here"
    drawn = Decision(image_id=ids["0003.png"], action="drawn", via="review", label="cat", xyxy=box)
    said.append(drawn)
    assert ranked_images(home, home.layer("detect"))[0].uri == "0002.png"


def test_what_only_a_student_finds_is_shown_as_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = workspace(tmp_path, [SURE, SURE, SURE])
    finds = [SURE, several(SURE, one("dog", 0.9, 100)), SURE[:2]]
    layer = write(home, home.layer("images"), f"{STUDENT}/small", {}, finds)
    view = queues.StudentView(layer, 0.5)
    monkeypatch.setattr(queues, "student_view", lambda workspace: view)
    found = ranked(home, home.layer("detect"), "disagree")
    missed = [look for look in found if look.index is None]
    assert [(look.uri, look.label, look.xyxy[0], look.keep) for look in missed] == [
        ("0001.png", "dog", 100, False)
    ]
    assert missed[0].reasons == ("only the student finds one here: 0.90",)
    not_found = [look for look in found if "the student does not find it: cat" in look.reasons]
    assert places(not_found) == [("0002.png", "cat", 70)]


def test_of_images_that_look_alike_one_comes_early(tmp_path: Path) -> None:
    scores = (0.3, 0.32, 0.34, 0.5, 0.9, 0.9)
    home = workspace(tmp_path, [one("cat", score) for score in scores])
    layer = home.layer("detect")
    plain = [image.uri for image in ranked_images(home, layer, limit=4)]
    assert plain == ["0000.png", "0001.png", "0002.png", "0003.png"]
    embedded(home, [[1, 0, 0], [1, 0.001, 0], [1, 0, 0.001], [0, 1, 0], [0, 0, 1], [0, 1, 1]])
    assert [image.uri for image in ranked_images(home, layer, limit=2)] == ["0000.png", "0003.png"]
    assert [look.uri for look in ranked(home, layer, limit=2)] == ["0000.png", "0003.png"]


def test_evidence_that_is_no_number_says_nothing(tmp_path: Path) -> None:
    nan = float("nan")
    odd = one("cat", 0.9, scores={"clip_margin": nan, "dinov2_ratio": nan, "probe": nan})
    home = workspace(tmp_path, [odd, several(one("cat", 0.9), one("cat", 0.4, 50))])
    assert [look.worth > 0 for look in ranked(home, home.layer("detect"))] == [True, False, False]


def test_an_empty_layer_has_an_empty_queue(tmp_path: Path) -> None:
    home = workspace(tmp_path, [Objects.empty(), Objects.empty()])
    for how in HOWS:
        assert ranked(home, home.layer("detect"), how, 5) == []
    found = ranked_images(home, home.layer("detect"), limit=5)
    assert [(image.worth, image.looks) for image in found] == [(0, ()), (0, ())]
