"""Stops anywhere in a chain, each followed by what a user might type: no finished label is lost.

After every command it is seen to that

- a layer that was complete has the same shards, or a complete successor has taken its place;
- what reads a layer that is unfinished or stale says so: it fails with a hint, or it was told
  `--allow-unfinished` and says how many images it leaves out.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autolabel.store import LayerState, Workspace
from tests.conftest import make_photos
from tests.crash import content
from tests.train.conftest import TINY

STOPS = 200
PHOTOS = 40
AFRESH = 20
"""Stops after which a new workspace is begun."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
STAGES = ("ingest", "detect", "refine", "filter", "export", "train")
SOURCES = {
    "ingest": (),
    "detect": ("images",),
    "refine": ("detect",),
    "filter": ("refine", "detect"),
    "export": ("filter", "refine", "detect"),
    "train": ("filter", "refine", "detect"),
}
"""Command -> the layers that it may read; the first that is there is read."""

SERVER = """
import json, os, sys
import autolabel.cli, autolabel.stages.detect, autolabel.stages.ingest
import autolabel.stages.refine, autolabel.stages.filter
import autolabel.models.grounding_dino, autolabel.models.sam, autolabel.train
from transformers import SamModel, SamProcessor
import torch
torch.set_num_threads(1)
for line in sys.stdin:
    arguments, out, err = json.loads(line)
    pid = os.fork()
    if pid == 0:
        sys.stdin.close()
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        autolabel.cli.main(arguments)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Shell:
    """Runs commands in forks of one process, so that none costs a start-up."""

    def __init__(self, folder: Path) -> None:
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = ""

    def run(self, words: list[str], stop: tuple[float, int] | None = None) -> int:
        """Run a command, and send it a signal after some seconds; its exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([words, str(self.out), str(self.err)]) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if stop is not None:
            select.select([self.process.stdout], [], [], stop[0])  # it may end before
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, stop[1])
        status = int(self.process.stdout.readline())
        self.said = self.err.read_text("utf-8", "replace") if self.err.exists() else ""
        return status

    def close(self) -> None:
        self.process.communicate()


@dataclass
class Chain:
    """One workspace, what may be done to it, and what was seen."""

    shell: Shell
    ws: Path
    photos: Path
    detector: Path
    segmenter: Path
    student: Path
    out: Path
    log: list[str] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)

    def words(self, stage: str, *options: str) -> list[str]:
        ws = str(self.ws)
        return {
            "ingest": ["ingest", str(self.photos), "-w", ws, "--shard-size", "8"],
            "detect": ["detect", ws, "--model", str(self.detector), "--prompt", "cat",
                       "--box-threshold", "0.1"],
            "refine": ["refine", ws, "--model", str(self.segmenter)],
            "filter": ["filter", ws, "--min-side", "2"],
            "export": ["export", ws, "--out", str(self.out)],
            "train": ["train", ws, "--student", str(self.student), "--epochs", "1", "--imgsz",
                      "64", "--batch", "8", "--device", "cpu", "--task", "detect", "--overwrite"],
            "status": ["status", ws, "--json"],
        }[stage] + list(options)  # fmt: skip

    def other(self, stage: str, rng: random.Random) -> list[str]:
        """The same stage with another option."""
        changed = {
            "detect": ["--box-threshold", rng.choice(["0.2", "0.3"])],
            "refine": ["--no-multimask"],
            "filter": ["--min-side", rng.choice(["3", "5", "10"])],
        }[stage]
        return self.words(stage, *changed, "--overwrite")

    # -- what is there ------------------------------------------------------------------------

    def states(self) -> dict[str, LayerState]:
        home = Workspace(self.ws)
        return {state.layer.name: state for state in home.states()} if self.ws.exists() else {}

    def finished(self) -> dict[str, dict[str, bytes]]:
        """The shards of every layer that is complete."""
        return {n: content(self.ws, n) for n, state in self.states().items() if state.complete}

    def source(self, stage: str) -> LayerState | None:
        states = self.states()
        return next((states[name] for name in SOURCES[stage] if name in states), None)

    def ready(self, stage: str) -> bool:
        source = self.source(stage)
        return stage == "ingest" or (source is not None and source.complete)

    def check_kept(self, before: dict[str, dict[str, bytes]]) -> None:
        """No layer that was complete is gone, or gave way to what is not complete."""
        now = self.states()
        for name, shards in before.items():
            assert name in now, f"{name}/ is gone\n{self.told()}"
            have = content(self.ws, name)
            if any(have.get(file) != data for file, data in shards.items()):
                manifest = now[name].layer.manifest
                whole = len(have) == manifest.shards == len(manifest.digests)
                assert whole, f"{name}/ was replaced by what is unfinished\n{self.told()}"
            list(now[name].layer.records())  # every digest fits

    # -- commands -----------------------------------------------------------------------------

    def stop(self, words: list[str], seconds: float, number: int) -> bool:
        """Run a command and stop it after some seconds; whether it was still at work."""
        before = self.finished()
        status = self.shell.run(words, (seconds, number))
        self.note(words, f"signal {number} after {seconds:.2f} s", status)
        hit = status in (-9, -15, -2, 130)
        self.tally["stopped" if hit else "ended before"] += 1
        self.check_kept(before)
        return hit

    def go(self, stage: str, words: list[str], *, wrong: bool = False) -> int:
        """Run a command to its end, and see that it says what it works on."""
        before = self.finished()
        source = self.source(stage) if stage in SOURCES else None
        status = self.shell.run(words)
        said = self.shell.said
        self.note(words, "to its end", status)
        assert "Traceback" not in said, f"{said}\n{self.told()}"
        self.check_kept(before)
        if stage in SOURCES and stage != "ingest":
            if source is None:
                assert status == 1, f"{said}\n{self.told()}"
            elif not source.complete and "--allow-unfinished" in words:
                self.tally["allowed"] += 1
                counted = "images are left out" in said
                assert counted, f"{said}\n{self.told()}"
            elif not source.complete:
                self.tally["refused"] += 1
                named = f"{source.layer.name}/ is " in said and "run autolabel " in said
                assert status == 1, f"{said}\n{self.told()}"
                assert named, f"{said}\n{self.told()}"
            elif wrong:
                assert status == 1
                assert self.finished() == before, self.told()
        return status

    def note(self, words: list[str], how: str, status: int) -> None:
        self.log.append(f"{' '.join(words)}  [{how}: {status}]")
        with (self.shell.out.parent / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%X')} {self.log[-1]}\n")

    def told(self) -> str:
        return "\n".join(self.log[-12:])

    def complete(self) -> None:
        """The chain to its end, as its commands were meant."""
        for stage in ("ingest", "detect", "refine", "filter"):
            again = [] if stage == "ingest" else ["--overwrite"]
            assert self.go(stage, self.words(stage, *again)) == 0, self.shell.said + self.told()
        assert self.go("export", self.words("export")) == 0, self.shell.said + self.told()


def some_command(chain: Chain, rng: random.Random, last: str) -> None:
    """A command that a user might type after a stop."""
    kind = rng.choice(
        ["again", "status", "export", "allowed", "wrong", "other", "filter", "refine", "ingest"]
    )
    if kind == "again":
        chain.go(last, chain.words(last))
    elif kind == "status":
        if chain.ws.exists() and chain.states():
            assert chain.go("status", chain.words("status")) == 0, chain.shell.said
    elif kind == "allowed":
        chain.go("export", chain.words("export", "--allow-unfinished"))
    elif kind == "wrong":
        words = ["refine", str(chain.ws), "--model", str(chain.detector), "--overwrite"]
        if chain.states():
            chain.go("refine", words, wrong=True)
    elif kind == "other":
        stage = rng.choice(["detect", "refine", "filter"])
        if chain.states():
            chain.go(stage, chain.other(stage, rng))
    elif chain.states() or kind == "ingest":
        chain.go(kind, chain.words(kind))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    one = Shell(tmp_path)
    yield one
    one.close()


@pytest.mark.slow
def test_stops_anywhere_in_a_chain_lose_no_finished_label(
    shell: Shell,
    random_detector: Path,
    random_segmenter: Path,
    tmp_path: Path,
) -> None:
    make_photos(tmp_path / "photos", PHOTOS)
    student = tmp_path / "tiny.yaml"
    student.write_text(TINY.replace("HEAD", "Detect, [nc]"), "utf-8")
    rng = random.Random(0)
    made = Chain(
        shell, tmp_path / "whole", tmp_path / "photos", random_detector, random_segmenter, student,
        tmp_path / "out",
    )  # fmt: skip
    seconds: dict[str, float] = {}
    for stage in STAGES:
        start = time.monotonic()
        assert shell.run(made.words(stage)) == 0, shell.said
        seconds[stage] = time.monotonic() - start
    expected = {name: content(made.ws, name) for name in ("detect", "refine", "filter")}

    tally: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    chain = made
    for number in itertools.count():
        if stopped.total() >= STOPS:
            break
        if number % AFRESH == 0:
            if chain is not made:
                chain.complete()
                for name, shards in expected.items():
                    assert content(chain.ws, name) == shards, f"{name}\n{chain.told()}"
                tally += chain.tally
                shutil.rmtree(chain.ws)
            chain = Chain(
                shell, tmp_path / f"ws{number}", made.photos, random_detector, random_segmenter,
                student, made.out,
            )  # fmt: skip
        ready = [stage for stage in STAGES if chain.ready(stage)]
        weights = [1 if stage in ("ingest", "train") else 4 for stage in ready]
        (stage,) = rng.choices(ready, weights)
        words = chain.words(stage)
        if stage in ("detect", "refine", "filter") and rng.random() < 0.5:
            words = chain.other(stage, rng)
        if chain.stop(words, rng.uniform(0, seconds[stage]), rng.choice(SIGNALS)):
            stopped[stage] += 1
        else:
            seconds[stage] *= 0.8  # the machine was busier when it was timed, or less is to do
        some_command(chain, rng, stage)
    chain.complete()
    tally += chain.tally
    print(f"{STOPS} stops: {dict(stopped)}, {dict(tally)}")  # noqa: T201
    assert tally["refused"] > 5
