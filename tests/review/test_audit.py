"""What an audit draws, and what it says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from autolabel.corrections.decisions import Decision, Decisions
from autolabel.errors import AutolabelError
from autolabel.review.answer import Answer
from autolabel.review.audit import Audit, Drawn, audits, draw
from autolabel.review.audit_result import audit_result, last_audit
from autolabel.review.prepare import Review
from autolabel.store import Workspace
from tests.conftest import Run
from tests.review import made


def say(at: Review, key: str, action: str, **more: Any) -> Decision:
    return at.session.decide(Answer(id=uuid4().hex, key=key, action=action, **more))


def test_objects_are_drawn_with_the_same_probability_and_once_each(home: Workspace) -> None:
    layer = home.require("detect")
    drawn: Counter[Drawn] = Counter()
    for seed in range(80):
        audit = draw(home, layer, 6, seed)
        assert (audit.objects, audit.images, len(set(audit.sample))) == (24, 4, 6)
        assert len(set(audit.photos)) == 2
        drawn.update(audit.sample)
    assert len(drawn) == 24
    # 80 draws of 6 from 24: 20 each, with a deviation of 3.9.
    assert max(abs(n - 20) for n in drawn.values()) < 4 * 3.9
    assert draw(home, layer, 6, 7).sample == draw(home, layer, 6, 7).sample
    assert len(draw(home, layer, 99, 0).sample) == 24


def test_an_audit_goes_on_where_it_was(home: Workspace) -> None:
    at = made.review(home, audit=8)
    keys = list(at.session.items)
    say(at, keys[0], "accept")
    say(at, keys[1], "reject")
    say(at, keys[2], "skip")
    later = made.review(home, audit=8)
    assert later.queue == at.queue == "audit-1"
    assert list(later.session.items) == keys
    assert later.session.progress().left == len(keys) - 3
    assert made.review(home, audit=9).queue == "audit-2"
    assert made.review(home, audit=9, seed=1).queue == "audit-3"


def test_what_was_said_before_an_audit_does_not_answer_it(home: Workspace) -> None:
    before = made.review(home)
    for item in made.objects_of(before):
        say(before, item.key, "accept")
    at = made.review(home, audit=8)
    assert at.session.progress().done == 0
    item, *_ = made.objects_of(at)
    say(at, item.key, "accept")


def test_precision_counts_boxes_by_overlap_and_recall_what_is_missing(home: Workspace) -> None:
    at = made.review(home, audit=10)
    first, second, third, fourth, fifth, sixth, *_ = made.objects_of(at)
    x1, y1, x2, y2 = third.xyxy or (0, 0, 0, 0)
    say(at, first.key, "accept")
    say(at, second.key, "reject")
    say(at, third.key, "change", xyxy=(x1, y1, x2, y2 - 1))  # still the same object
    fx1, fy1, fx2, fy2 = fourth.xyxy or (0, 0, 0, 0)
    say(at, fourth.key, "change", xyxy=(fx1, fy1, (2 * fx1 + fx2) / 3, fy2))  # a third of it
    say(at, fifth.key, "change", label="bird")
    say(at, sixth.key, "skip")
    photos = [key for key, item in at.session.items.items() if item.xyxy is None]
    say(at, photos[0], "missing")
    say(at, photos[0], "missing")
    say(at, photos[0], "add", label="bird", xyxy=(1, 1, 9, 9))
    say(at, photos[0], "accept")
    say(at, photos[1], "missing")  # not done with this one yet
    result = at.result()
    assert result is not None
    assert (result.right, result.misplaced, result.wrong, result.cannot_tell) == (2, 2, 1, 1)
    assert (result.judged, result.asked, result.searched, result.missing) == (5, 10, 1, 3)
    assert result.precision == 2 / 5
    # 24 labels, of which 9.6 are right and 9.6 more stand on objects; 3 are missing on each of 4.
    assert result.recall == pytest.approx(9.6 / (19.2 + 12))
    assert not result.stale
    with pytest.raises(ValueError, match="whole images"):
        say(at, made.objects_of(at)[7].key, "missing")


def test_undone_judgements_do_not_count(home: Workspace) -> None:
    at = made.review(home, audit=4)
    first, *_ = made.objects_of(at)
    wrong = say(at, first.key, "reject")
    at.session.undo(uuid4().hex, wrong.id)
    assert (at.result() and at.result().judged) == 0  # type: ignore[union-attr]
    say(at, first.key, "accept")
    assert at.result().precision == 1  # type: ignore[union-attr]


def test_its_own_corrections_do_not_make_an_audit_stale_but_others_do(home: Workspace) -> None:
    at = made.review(home, audit=8)
    for item, action in zip(made.objects_of(at), ["reject", "accept", "change"] * 9, strict=False):
        say(at, item.key, action, **({"label": "bird"} if action == "change" else {}))
    layer = made.review(home).session.layer
    assert layer.name == "corrected"  # what was said is in it
    found = last_audit(home, layer)
    assert found is not None
    assert not found.stale
    assert found.fingerprint == home.require("detect").fingerprint()
    other = made.review(home)
    say(other, made.objects_of(other)[0].key, "reject")
    found = last_audit(home, made.review(home).session.layer)
    assert found is not None
    assert found.stale
    assert any("changed since" in line for line in found.sentences())
    assert made.review(home, audit=8).queue == "audit-2"


def test_labels_made_anew_make_an_audit_stale(home: Workspace) -> None:
    at = made.review(home, audit=4)
    say(at, next(iter(at.session.items)), "accept")
    layer = home.require("detect")
    assert last_audit(home, layer) is not None
    assert not last_audit(home, layer).stale  # type: ignore[union-attr]
    made.relabel(home, count=6, seed=3)
    assert last_audit(home, home.require("detect")).stale  # type: ignore[union-attr]


def test_without_a_judgement_there_is_no_result(home: Workspace) -> None:
    layer = home.require("detect")
    assert last_audit(home, layer) is None
    draw(home, layer, 4, 0)
    assert last_audit(home, layer) is None


def test_a_damaged_sample_is_said(home: Workspace) -> None:
    draw(home, home.require("detect"), 4, 0)
    file = home.path / "decisions" / "audit-1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"objects": -1}))
    with pytest.raises(AutolabelError, match=r"audit-1\.json cannot be read"):
        audits(home.path)


def simulated(seed: int) -> tuple[float, Any]:
    """Labels of which some are wrong, judged by somebody who knows; the truth, and the result."""
    rng = np.random.default_rng(seed)
    labels = int(rng.integers(150, 3000))
    share = rng.uniform(0.5, 0.99)
    right = rng.random(labels) < share
    wanted = int(rng.integers(30, 140))
    every = [Drawn(f"{i // 7:032x}", "cat", (0.0, 0.0, 1.0 + i % 7, 5.0)) for i in range(labels)]
    order = rng.permutation(labels)[:wanted]
    sample = tuple(every[i] for i in order)
    audit = Audit("audit-1", "2025", 0, wanted, "detect", "f", "detect", "f", labels,
                  labels // 7 + 1, sample, ())  # fmt: skip
    judged = int(rng.integers(wanted // 2, wanted + 1))  # some stop before the end
    said = [
        Decision(
            image_id=one.image_id, action="confirmed" if right[i] else "deleted", via="review",
            label=one.label, xyxy=one.xyxy, was={"label": one.label, "xyxy": list(one.xyxy)},
            audit="audit-1", at=f"2026-01-01T00:00:{n:06d}",
        )
        for n, (i, one) in enumerate(zip(order[:judged], sample, strict=False))
    ]  # fmt: skip
    return float(right.mean()), audit_result(audit, said, stale=False)


def test_the_interval_covers_the_true_precision_in_90_of_100_audits() -> None:
    covered, widths = 0, []
    for seed in range(100):
        truth, result = simulated(seed)
        low, high = result.precision_interval
        covered += low <= truth <= high
        widths.append(high - low)
    assert covered >= 90
    assert np.mean(widths) < 0.25  # and it says something


def test_the_command_prints_what_an_audit_says(home: Workspace, run: Run, tmp_path: Path) -> None:
    at = made.review(home, audit=8)
    for item in made.objects_of(at):
        say(at, item.key, "accept")
    said = run("review", home.path, "--audit", 8, "--json").json()
    assert (said["done"], said["total"], said["audit"]["precision"]) == (8, 10, 1.0)
    assert said["audit"]["precision_interval"][1] == 1.0
    assert said["audit"]["left"] == 2
    assert len(Decisions(home.path).read()) == 8
