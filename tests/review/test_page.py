"""The page in a real browser, by keys alone."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autolabel.corrections.decisions import Decisions
from autolabel.corrections.fold import standing
from autolabel.review.items import judged_by
from autolabel.stages.labels import chosen_labels
from autolabel.store import Workspace
from tests.report import browser
from tests.report.test_browser import CONTRAST
from tests.review import made
from tests.review.served import Keys, Served

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, none of which outlives a test."""
    started: list[Served] = []

    def start(workspace: Path, port: int, *options: str) -> Served:
        started.append(Served(workspace, port, *options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Keys]:
    executable = browser.find()
    if executable is None:
        pytest.skip("no Chromium is installed")
    with browser.browse(executable, tmp_path / "profile") as page:
        yield Keys(page)


ANSWERS = (
    (("Enter",), "confirmed"),
    (("x",), "deleted"),
    (("ArrowRight",), "confirmed"),
    (("3",), "relabelled"),  # there is no bird
    (("e", "ArrowRight", "Shift+ArrowDown", "Enter"), "moved"),
    (("w", "e", "ArrowUp", "ArrowUp", "3", "Enter"), "relabelled"),
)


def test_a_hundred_decisions_by_keys_through_a_kill(
    keys: Keys, tmp_path: Path, serve: Serve
) -> None:
    home = made.workspace(tmp_path, photos=10, count=10)
    port, options = free_port(), ("--queue", "random", "--limit", "100")
    served = serve(home.path, port, *options)
    said: dict[str, str] = {}
    shown = keys.open(served.address)
    for turn in range(101):
        if shown == "end":
            break
        presses, action = ANSWERS[turn % len(ANSWERS)]
        if turn == 41:
            keys.press("x")  # and nobody knows whether it was in time
            served.kill()
            keys.wait("!document.getElementById('banner').hidden")
            served = serve(home.path, port, *options)
            keys.wait("document.getElementById('banner').textContent.includes('printed last')")
            before = {judged_by(one) for one in Decisions(home.path).read()}
            assert said.keys() <= before <= {*said, shown}
            said |= dict.fromkeys(before - said.keys(), "deleted")
            shown = keys.open(served.address)
            assert shown not in said
        said[shown] = action
        shown = keys.judge(*presses)
    assert shown == "end"
    assert "100 of 100" not in keys.evaluate("document.getElementById('count').textContent")
    status, out, err = served.end()
    assert (status, out) == (0, "")
    assert "decided" in err
    decisions = Decisions(home.path).read()
    assert Counter(judged_by(one) for one in decisions) == dict.fromkeys(said, 1)
    assert {judged_by(one): one.action for one in decisions} == said
    assert len(said) == 100
    labels = [record.objects for record in chosen_labels(home, None).layer]
    assert sum(int(o.keep.sum()) for o in labels) == 100 - list(said.values()).count("deleted")


def test_a_second_tab_is_told_and_goes_on(keys: Keys, home: Workspace, serve: Serve) -> None:
    served = serve(home.path, free_port(), "--queue", "random")
    shown = keys.open(served.address)
    page = served.address.partition("?")[0]
    assert keys.beside().open(page) != shown  # each gets its own
    other = keys.beside()
    assert other.open(f"{page}#{shown}") == shown  # unless it is asked for
    other.judge("x")
    after = keys.judge("Enter")
    assert after != shown
    told = keys.wait("document.getElementById('toast').textContent")
    assert told.startswith("ann said “wrong” at ")
    served.end()
    assert [one.action for one in Decisions(home.path).read()] == ["deleted"]


def test_all_that_can_be_said_is_said_by_keys(keys: Keys, home: Workspace, serve: Serve) -> None:
    served = serve(home.path, free_port(), "--queue", "random")
    first = keys.open(served.address)

    def last() -> str:
        return Decisions(home.path).read()[-1].action

    count = "document.getElementById('count').textContent"
    keys.press("Enter", held=True)  # still held from before
    time.sleep(0.2)
    assert keys.shown() == first
    assert keys.evaluate(count) == "0 of 24"
    keys.press("n")
    for _ in range(3):
        keys.press("ArrowLeft")
        keys.press("ArrowDown", shift=True)
    keys.press("3")
    keys.press("Enter")
    keys.wait("document.getElementById('toast').textContent == 'A bird was added.'")
    keys.shown()
    assert (last(), Decisions(home.path).read()[-1].label) == ("drawn", "bird")
    keys.press("m")
    keys.wait("document.getElementById('ask').textContent.includes('1 noted as missing')")
    assert keys.shown() == first
    second = keys.judge("x")
    keys.press("u")
    assert keys.shown(second) == first
    assert last() == "undone"
    assert keys.judge("s") == second
    keys.press("g")
    grid = keys.shown(second)
    assert grid.startswith("grid ")
    keys.press("x")
    keys.press("ArrowRight")
    keys.press("3")
    keys.press("Enter")
    after = keys.shown(grid)
    kinds = Counter(one.action for one in standing(Decisions(home.path).read()))
    cells = sum(kinds[name] for name in ("deleted", "relabelled", "confirmed"))
    assert (kinds["deleted"], kinds["relabelled"]) == (1, 1)
    assert cells == kinds["confirmed"] + 2 >= 11
    keys.press("u")  # all twelve at once
    keys.shown(after)
    assert Counter(one.action for one in standing(Decisions(home.path).read())) == {
        "drawn": 1, "missing": 1, "skipped": 1,
    }  # fmt: skip
    keys.press("?")
    assert keys.evaluate("document.getElementById('help').open")
    keys.press("Escape")
    keys.wait("!document.getElementById('help').open")
    served.end()


def test_boxes_are_adjusted_and_drawn_with_the_pointer(
    keys: Keys, home: Workspace, serve: Serve
) -> None:
    served = serve(home.path, free_port(), "--queue", "random")
    keys.open(served.address)

    def place(what: str) -> dict[str, float]:
        found: dict[str, float] = keys.evaluate(
            f"document.querySelector('{what}').getBoundingClientRect().toJSON()"
        )
        return found

    box, frame = place("rect.box"), place("#frame svg")
    middle = (box["top"] + box["bottom"]) / 2
    keys.drag((box["right"], middle), (box["right"] - 40, middle + 30))  # no key before it
    assert keys.evaluate("document.body.dataset.ready") == "edit"
    assert place("rect.box")["right"] < box["right"] - 30
    keys.judge("Enter")
    moved = Decisions(home.path).read()[-1]
    assert moved.action == "moved"
    assert moved.xyxy is not None
    assert moved.was is not None
    assert moved.xyxy[2] < moved.was["xyxy"][2]
    other_edges = [moved.xyxy[i] for i in (0, 1, 3)]
    assert other_edges == pytest.approx([moved.was["xyxy"][i] for i in (0, 1, 3)], abs=0.01)
    keys.press("w")
    keys.shown()
    keys.press("n")
    frame = place("#frame svg")
    scale = made.SIZE[0] / frame["width"]
    at = (frame["left"] + 100, frame["top"] + 80)
    keys.drag(at, (at[0] + 200, at[1] + 120))
    keys.press("Enter")
    keys.wait("document.getElementById('toast').textContent.endsWith('was added.')")
    drawn = Decisions(home.path).read()[-1]
    assert drawn.xyxy == pytest.approx([v * scale for v in (100, 80, 300, 200)], abs=0.2)
    served.end()


def test_an_audit_ends_with_its_figures(keys: Keys, home: Workspace, serve: Serve) -> None:
    served = serve(home.path, free_port(), "--audit", "6")
    shown = keys.open(served.address)
    for _ in range(6):
        assert keys.evaluate("document.getElementById('reasons').childElementCount") == 0
        assert "score" not in keys.evaluate("document.getElementById('facts').textContent")
        shown = keys.judge("Enter")
    assert keys.evaluate("document.getElementById('name').textContent") == "Whole photo"
    keys.press("m")
    keys.wait("document.getElementById('ask').textContent.includes('1 noted')")
    keys.judge("Enter")
    shown = keys.judge("Enter")
    assert shown == "end"
    result = keys.evaluate("document.getElementById('result').textContent")
    assert "precision 100.0%, 95 % interval" in result
    assert "1 objects without a label on 2 images" in result
    _, _, err = served.end()
    assert "audit-1: precision 100.0%" in err


def test_wide_and_narrow_light_and_dark_with_names_for_all(
    keys: Keys, home: Workspace, serve: Serve
) -> None:
    served = serve(home.path, free_port(), "--queue", "random")
    page = keys.page
    for width in (1280, 390, 320):
        for dark in (False, True):
            keys.open(served.address, width=width, dark=dark)
            assert page.complaints == []
            assert all(url.startswith(served.address[:20]) for url in page.requests)
            assert keys.evaluate("document.documentElement.scrollWidth") <= width
            assert keys.evaluate(CONTRAST) >= 4.5
            assert keys.evaluate("document.getElementById('frame').offsetWidth") > width / 4
            for press in ("g", "?"):
                keys.press(press)
                time.sleep(0.3)
                assert keys.evaluate("document.documentElement.scrollWidth") <= width
                assert keys.evaluate(CONTRAST) >= 4.5
                keys.press("Escape")
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    named = [n for n in tree if n.get("role", {}).get("value") in ("button", "combobox", "image")]
    assert len(named) > 10
    assert all(n["name"]["value"].strip() for n in named if not n["ignored"]), json.dumps(named)
    live = keys.evaluate("document.getElementById('said').textContent")
    assert live.startswith("1 of 24: ")
    served.end()
