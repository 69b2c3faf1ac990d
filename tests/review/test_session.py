"""What is asked, what is recorded, and who was first."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from autolabel.corrections.decisions import Decision, Decisions
from autolabel.errors import AutolabelError, UsageError
from autolabel.review.answer import Answer
from autolabel.review.items import OBJECT, PLACE, Item
from autolabel.review.session import ConflictError, Session
from autolabel.stages.labels import chosen_labels
from autolabel.store import Workspace
from tests.review import made


def say(session: Session, key: str, action: str, **more: Any) -> Decision:
    return session.decide(Answer(id=uuid4().hex, key=key, action=action, **more))


def test_answers_become_decisions_that_say_all(home: Workspace) -> None:
    at = made.review(home)
    first, second, third, fourth, fifth, *_ = made.objects_of(at)
    for item in (first, second, third, fourth, fifth):
        assert item.xyxy is not None
    x1, y1, x2, y2 = third.xyxy or (0, 0, 0, 0)
    say(at.session, first.key, "accept", seconds=1.5)
    say(at.session, second.key, "reject")
    say(at.session, third.key, "change", xyxy=(x1 + 0.1, y1, x2, y2))
    say(at.session, fourth.key, "change", label="bird")
    say(at.session, fifth.key, "change", label="bird", xyxy=(0.0, 0.0, 9.0, 9.0))
    said = Decisions(home.path).read()
    assert [one.action for one in said] == [
        "confirmed", "deleted", "moved", "relabelled", "relabelled",
    ]  # fmt: skip
    assert {(one.who, one.via, one.layer, one.audit) for one in said} == {
        ("ann", "review", "detect", None)
    }
    assert {one.fingerprint for one in said} == {home.require("detect").fingerprint()}
    assert [one.was for one in said] == [i.was for i in (first, second, third, fourth, fifth)]
    assert said[0].seconds == 1.5
    assert said[1].xyxy == second.xyxy
    moved = said[2].xyxy
    assert moved == (float(np.float32(x1 + 0.1)), y1, x2, y2)  # as a layer holds it
    assert (said[3].label, said[3].xyxy) == ("bird", fourth.xyxy)
    assert (said[4].label, said[4].xyxy) == ("bird", (0.0, 0.0, 9.0, 9.0))


def test_a_mask_stays_with_a_box_that_stays(home: Workspace) -> None:
    at = made.review(home)
    masks = {
        (record.image_id, *box): mask
        for record in home.require("detect")
        for box, mask in zip(record.objects.xyxy.tolist(), record.objects.mask, strict=True)
    }
    with_mask = [i for i in made.objects_of(at) if masks[i.image_id, *(i.xyxy or ())] is not None]
    kept, renamed, moved, *_ = with_mask
    for item, change in ((kept, {}), (renamed, {"label": "bird"}), (moved, {"xyxy": (1, 1, 9, 9)})):
        decision = say(at.session, item.key, "change", **change)
        mask = None if item is moved else masks[item.image_id, *(item.xyxy or ())].decode()
        assert decision.mask == mask


def test_what_was_said_is_not_asked_again_and_folds_into_the_labels(home: Workspace) -> None:
    at = made.review(home)
    total = len(at.session.items)
    assert total == 24
    wrong, right, *_ = made.objects_of(at)
    say(at.session, wrong.key, "reject")
    say(at.session, right.key, "accept")
    assert (at.session.progress().done, at.session.progress().left) == (2, total - 2)
    assert not {wrong.key, right.key} & {i.key for i in at.session.next("a", 100)}
    later = made.review(home).session
    assert later.layer.name == "corrected"
    assert set(later.items) == set(at.session.items) - {wrong.key, right.key}
    objects = [o for r in chosen_labels(home, None).layer for o in [r.objects]]
    assert sum(int(o.keep.sum()) for o in objects) == total - 1
    assert [c.who for o in objects for c in o.correction if c is not None] == ["ann"]


def test_the_same_answer_twice_is_recorded_once(home: Workspace) -> None:
    session = made.review(home).session
    (item,) = session.next("a")
    answer = Answer(id=uuid4().hex, key=item.key, action="accept")
    assert session.decide(answer) == session.decide(answer)
    again = made.review(home, layer="detect").session  # as after a kill
    assert again.decide(answer) == session.decide(answer)
    assert len(Decisions(home.path).read()) == 1


def test_the_second_to_decide_is_told_what_the_first_said(home: Workspace) -> None:
    session = made.review(home).session
    (item,) = session.next("a")
    say(session, item.key, "reject", who="bob")
    for action in ("accept", "reject", "skip", "change"):
        with pytest.raises(ConflictError) as refused:
            say(session, item.key, action, who="cat")
        assert (refused.value.said.who, refused.value.said.action) == ("bob", "deleted")
    assert len(Decisions(home.path).read()) == 1


def test_another_process_was_first(home: Workspace) -> None:
    one, other = made.review(home).session, made.review(home).session
    (item,) = one.next("a")
    say(one, item.key, "reject", who="bob")
    with pytest.raises(ConflictError, match="bob"):
        say(other, item.key, "accept")
    (next_,) = other.next("b")
    assert next_.key != item.key


def test_many_at_once_decide_each_thing_once(home: Workspace) -> None:
    session = made.review(home).session
    won = dict.fromkeys("abcd", 0)

    def work(tab: str) -> None:
        while items := session.next(tab):
            try:
                say(session, items[0].key, "accept", who=tab)
                won[tab] += 1
            except ConflictError:
                pass

    threads = [threading.Thread(target=work, args=(tab,)) for tab in won]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = Decisions(home.path).read()
    assert len(said) == sum(won.values()) == 24
    assert len({(one.image_id, one.xyxy) for one in said}) == 24


def test_two_tabs_show_different_things_while_there_are_some(home: Workspace) -> None:
    session = made.review(home, limit=3).session
    first = session.next("a", 2)
    assert session.next("a", 2) == first
    second = session.next("b", 2)
    assert not {i.key for i in first} & {i.key for i in second}
    assert {i.key for i in session.next("c", 3)} == set(session.items)  # nothing is free


def test_undo_asks_again(home: Workspace) -> None:
    session = made.review(home).session
    (item,) = session.next("a")
    decision = say(session, item.key, "reject")
    assert session.undo(uuid4().hex, decision.id) == item
    assert session.is_open(item.key)
    assert session.undo(uuid4().hex, decision.id) == item  # once is enough
    said = Decisions(home.path).read()
    assert [(one.action, one.undoes) for one in said] == [
        ("deleted", None), ("undone", decision.id),
    ]  # fmt: skip
    say(session, item.key, "accept")
    with pytest.raises(ValueError, match="no such decision"):
        session.undo(uuid4().hex, uuid4().hex)
    with pytest.raises(ValueError, match="no such decision"):
        session.undo(uuid4().hex, said[1].id)


def test_what_was_skipped_comes_last_the_next_time(home: Workspace) -> None:
    session = made.review(home).session
    first, second, *_ = made.objects_of(made.review(home))
    say(session, first.key, "skip")
    assert session.next("a", 1)[0].key == second.key
    assert (session.progress().done, session.progress().skipped) == (0, 1)
    later = made.review(home).session
    assert (later.progress().skipped, list(later.items)[-1]) == (0, first.key)
    say(later, first.key, "accept")


def test_boxes_are_added_and_missing_ones_noted_beside_what_is_asked(home: Workspace) -> None:
    session = made.review(home).session
    (item,) = session.next("a")
    added = say(session, item.key, "add", label="bird", xyxy=(-5.0, 2.0, 20.0, 70.0))
    assert (added.action, added.xyxy) == ("drawn", (0.0, 2.0, 20.0, 64.0))  # cut at the border
    assert say(session, item.key, "missing").action == "missing"
    assert session.is_open(item.key)
    assert session.undo(uuid4().hex, added.id) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "../../etc"}, "id must be"),
        ({"key": "f" * 16}, "does not ask"),
        ({"action": "erase"}, "no action"),
        ({"action": "change", "label": "cow"}, "no class 'cow'"),
        ({"action": "change", "xyxy": (5.0, 5.0, 5.5, 30.0)}, "less than a pixel"),
        ({"action": "add", "xyxy": (500.0, 5.0, 600.0, 30.0)}, "less than a pixel"),
    ],
)
def test_what_does_not_fit_is_refused(home: Workspace, change: dict[str, Any], said: str) -> None:
    session = made.review(home).session
    (item,) = session.next("a")
    with pytest.raises(ValueError, match=said):
        session.decide(Answer(**{"id": uuid4().hex, "key": item.key, "action": "accept", **change}))
    assert Decisions(home.path).read() == []


def test_a_disk_that_refuses_is_said_and_nothing_counts(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made.review(home).session
    (item,) = session.next("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr("autolabel.corrections.decisions._append", full)
        with pytest.raises(AutolabelError, match="No space left"):
            say(session, item.key, "accept")
    assert session.is_open(item.key)
    say(session, item.key, "accept")


def test_a_folder_that_cannot_be_written_is_said(home: Workspace) -> None:
    session = made.review(home).session
    (item,) = session.next("a")
    (home.path / "decisions").write_text("in the way")
    with pytest.raises(AutolabelError, match="cannot be written"):
        say(session, item.key, "accept")


def test_an_empty_queue_says_what_to_type(home: Workspace) -> None:
    with pytest.raises(UsageError, match="no label"):
        made.review(home, queue="class=bird")
    session = made.review(home).session
    for item in list(session.items.values()):
        say(session, item.key, "accept")
    with pytest.raises(AutolabelError, match="nothing to look at"):
        made.review(home)


def test_a_place_without_a_label_becomes_an_object_or_stays_empty(home: Workspace) -> None:
    layer = home.require("detect")
    image_id = next(iter(layer)).image_id
    places = [Item(PLACE, image_id, "bird", (x, 40.0, x + 9, 49.0)) for x in (1.0, 21.0, 41.0)]
    session = Session(home, layer, places, made.CLASSES, who="ann")
    there, adjusted, nothing = session.items
    assert say(session, there, "accept").action == "drawn"
    assert (
        say(session, adjusted, "change", label="cat", xyxy=(20.0, 40.0, 30.0, 50.0)).label == "cat"
    )
    assert say(session, nothing, "reject").action == "deleted"
    with pytest.raises(ConflictError):
        say(session, there, "accept")
    again = Session(home, layer, places, made.CLASSES)
    assert again.progress().left == 0
    kept = next(iter(chosen_labels(home, None).layer)).objects.kept
    drawn = kept[[c is not None and c.action == "drawn" for c in kept.correction]]
    assert drawn.label.tolist() == ["bird", "cat"]
    assert drawn.xyxy.tolist() == [[1, 40, 10, 49], [20, 40, 30, 50]]


def test_what_was_rejected_comes_back_when_a_person_says_it_is_right(home: Workspace) -> None:
    layer = home.require("detect")
    record = next(iter(layer))
    rejected = replace(record.objects, keep=np.arange(len(record.objects)) != 2)
    item = Item(OBJECT, record.image_id, str(rejected.label[2]), tuple(rejected.xyxy[2].tolist()))
    with home.lock():
        rows = [replace(record, objects=rejected), *layer.read(0)[1:]]
        layer.write(0, rows, layer.source_digest(0))
        layer.note_shards()
    session = Session(home, home.require("detect"), [item], made.CLASSES)
    assert say(session, item.key, "accept").action == "confirmed"
    kept = next(iter(chosen_labels(home, None).layer)).objects.kept
    assert len(kept) == len(record.objects)
