from __future__ import annotations

from typing import Any

from autolabel.corrections.decisions import Decision
from autolabel.corrections.fold import fold, remarks, standing
from autolabel.types import Objects

BOX, OTHER = (0.0, 0.0, 10.0, 10.0), (2.0, 2.0, 12.0, 12.0)


def said(action: str, label: str = "cat", xyxy: tuple[float, ...] = BOX, **more: Any) -> Decision:
    return Decision(
        image_id="a",
        action=action,
        via="review",
        label=label,
        xyxy=xyxy,
        **more,  # type: ignore[arg-type]
    )


def left(*decisions: Decision) -> list[tuple[str, list[float], bool, str]]:
    found = fold(decisions).get("a", Objects.empty())
    return [
        (label, box, keep, correction.action)
        for label, box, keep, correction in zip(
            found.label, found.xyxy.tolist(), found.keep.tolist(), found.correction, strict=True
        )
    ]


WAS = {"label": "cat", "xyxy": BOX}


def test_what_is_drawn_or_confirmed_is_there_and_what_is_deleted_is_marked() -> None:
    assert left(said("drawn")) == [("cat", list(BOX), True, "drawn")]
    assert left(said("confirmed", was=WAS)) == [("cat", list(BOX), True, "confirmed")]
    assert left(said("deleted", was=WAS)) == [("cat", list(BOX), False, "deleted")]


def test_where_a_moved_or_relabelled_object_was_nothing_is_to_come_back() -> None:
    assert left(said("moved", xyxy=OTHER, was=WAS)) == [
        ("cat", list(OTHER), True, "moved"),
        ("cat", list(BOX), False, "moved"),
    ]
    assert left(said("relabelled", "dog", was=WAS)) == [
        ("dog", list(BOX), True, "relabelled"),
        ("cat", list(BOX), False, "relabelled"),
    ]


def test_the_later_word_counts() -> None:
    assert left(said("confirmed", was=WAS), said("deleted", was=WAS)) == [
        ("cat", list(BOX), False, "deleted")
    ]
    assert left(said("deleted", was=WAS), said("drawn")) == [("cat", list(BOX), True, "drawn")]
    moved = said("moved", xyxy=OTHER, was=WAS)
    again = said("relabelled", "dog", OTHER, was={"label": "cat", "xyxy": OTHER})
    assert [row[:3] for row in left(moved, again)] == [
        ("dog", list(OTHER), True),
        ("cat", list(BOX), False),
        ("cat", list(OTHER), False),
    ]


def test_what_is_undone_was_never_said() -> None:
    one = said("deleted", was=WAS)
    back = Decision(image_id="a", action="undone", via="review", undoes=one.id)
    assert left(one, back) == []
    assert standing([one, back]) == []
    assert left(said("confirmed", was=WAS), one, back) == [("cat", list(BOX), True, "confirmed")]


def test_who_and_when_are_kept_and_a_label_of_a_person_is_sure() -> None:
    found = fold([said("drawn", who="anna", when="2026-01-02T03:04:05Z")])["a"]
    assert (found.correction[0].who, found.correction[0].when) == ("anna", "2026-01-02T03:04:05Z")
    assert found.score.tolist() == [1.0]


def test_a_remark_about_an_image_changes_no_object() -> None:
    remark = Decision(image_id="b", action="missing", via="review")
    assert fold([remark]) == {}
    assert remarks([remark]) == {"missing": frozenset({"b"}), "skipped": frozenset()}
