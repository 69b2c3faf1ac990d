from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.corrections.decisions import FOLDER, Decision, Decisions
from autolabel.errors import AutolabelError
from tests.store.kills import killed_at

BOX = (1.0, 2.0, 30.5, 40.25)


def drawn(**changes: object) -> Decision:
    said = {"image_id": "a", "action": "drawn", "via": "review", "label": "cat", "xyxy": BOX}
    return Decision(**{**said, **changes})  # type: ignore[arg-type]


def test_decisions_come_back_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    log = Decisions(tmp_path)
    assert log.read() == []
    assert log.digest() == ""
    first = drawn(label="снимок", mask="PPQ1", who="anna")
    log.append(first)
    log.add_import([drawn(via="import"), drawn(via="import", image_id="b")])
    second = drawn(action="deleted")
    log.append(second)
    found = log.read()
    assert [found[0], found[-1]] == [first, second]
    assert len(found) == 4
    assert {path.name for path in (tmp_path / FOLDER).glob("*.jsonl")} == {
        "review.jsonl", "import-0001.jsonl",
    }  # fmt: skip


def test_a_decision_that_is_sent_twice_counts_once(tmp_path: Path) -> None:
    one = drawn()
    for _ in range(2):
        Decisions(tmp_path).append(one)
    assert Decisions(tmp_path).read() == [one]


def test_a_line_that_a_kill_cut_is_passed_over_and_the_next_is_whole(tmp_path: Path) -> None:
    log, first, second = Decisions(tmp_path), drawn(), drawn(image_id="b")
    log.append(first)
    file = tmp_path / FOLDER / "review.jsonl"
    whole = file.read_bytes()
    for cut in range(1, len(whole)):
        file.write_bytes(whole + whole[:cut])
        assert log.read() == [first]
    log.append(second)
    assert log.read() == [first, second]


def test_an_import_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    many = [drawn(image_id=str(i)) for i in range(20)]
    seen = set()
    for step in range(30):
        folder = tmp_path / str(step)
        folder.mkdir()
        killed = killed_at(step, lambda folder=folder: Decisions(folder).add_import(many))
        seen.add(len(Decisions(folder).read()))
        if not killed:
            break
    assert seen == {0, 20}


def test_a_decision_is_on_disk_when_a_process_dies_right_after(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from autolabel.corrections.decisions import Decision, Decisions\n"
        "log = Decisions(Path(sys.argv[1]))\n"
        "for i in range(5):\n"
        "    log.append(Decision(image_id=str(i), action='missing', via='review'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert [one.image_id for one in Decisions(tmp_path).read()] == list("01234")


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "erased"},
        {"label": None},
        {"label": ""},
        {"xyxy": None},
        {"xyxy": [0, 0, 1]},
        {"xyxy": [0, 0, float("nan"), 1]},
        {"xyxy": [0, 0, 1e9, 1]},
        {"xyxy": [5, 0, 1, 1]},
        {"was": {"label": "cat"}},
        {"action": "undone", "label": None, "xyxy": None},
        {"id": ""},
        {"unknown": 1},
    ],
)
def test_a_line_that_is_no_decision_is_refused_with_its_number(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    log = Decisions(tmp_path)
    log.append(drawn())
    file = tmp_path / FOLDER / "review.jsonl"
    with file.open("a") as stream:
        stream.write(json.dumps({**asdict(drawn()), **wrong}) + "\n")
    if "unknown" in wrong:  # what a later version adds is no reason to lose people's work
        assert len(log.read()) == 2
        return
    with pytest.raises(AutolabelError, match=r"review\.jsonl, line 2 is not a decision"):
        log.read()


@given(
    st.text(min_size=1).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t)),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2),
)
def test_any_class_and_any_box_come_back(label: str, low: list[float]) -> None:
    from tempfile import TemporaryDirectory

    one = drawn(label=label, xyxy=(*low, low[0] + 1.5, low[1] + 0.1))
    with TemporaryDirectory() as folder:
        Decisions(Path(folder)).append(one)
        assert Decisions(Path(folder)).read() == [one]
