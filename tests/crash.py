"""What the kill -9 tests share: commands without start-up, and a look at what a kill left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

# Imports once, then forks for every command, so that a trial costs no start-up.
ZYGOTE = """
import os, sys, json
import autolabel.cli, autolabel.stages.detect, autolabel.stages.ingest, autolabel.stages.refine
import autolabel.models.grounding_dino, autolabel.models.sam
import autolabel.models.image_text, autolabel.models.image_only
from transformers import SamModel, SamProcessor
from transformers import BitImageProcessor, CLIPModel, CLIPProcessor, Dinov2Model
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        sys.stdin.close()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        arguments = json.loads(line)
        if isinstance(arguments, dict):
            from tests.crash import die_at_batch
            arguments = die_at_batch(**arguments)
        autolabel.cli.main(arguments)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def start(self, arguments: list[str]) -> int:
        self.stdin.write(json.dumps(arguments) + "\n")
        self.stdin.flush()
        return int(self.stdout.readline())

    def wait(self) -> int:
        return int(self.stdout.readline())

    def run(self, arguments: list[str]) -> int:
        self.start(arguments)
        return self.wait()

    def die_at_batch(self, arguments: list[str], batches: int, number: int) -> int:
        """Run a command that gets a signal when its detector begins a batch; its exit status."""
        request = {"arguments": arguments, "batches": batches, "number": number}
        self.stdin.write(json.dumps(request) + "\n")
        self.stdin.flush()
        self.stdout.readline()
        return self.wait()

    def run_and_kill(self, arguments: list[str], seconds: float) -> int:
        pid = self.start(arguments)
        time.sleep(seconds)
        subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        return self.wait()

    def kill_after(self, arguments: list[str], workspace: Path, shards: int) -> int:
        """Kill a command as soon as the workspace has so many shards; its exit status."""
        pid = self.start(arguments)
        end = time.monotonic() + 60
        while len(list(workspace.rglob("part-*.parquet"))) < shards and time.monotonic() < end:
            time.sleep(0.001)
        subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        return self.wait()


def die_at_batch(arguments: list[str], batches: int, number: int) -> list[str]:
    """In a process of its own: a signal when so many batches are done, all of them kept by then.

    A journal that is written after every batch stands for batches of two seconds and more.
    """
    from autolabel.engine import journal
    from autolabel.stages.detect import Detect

    call, left = Detect.__call__, [batches]

    def counted(self: Any, batch: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), number)
        return call(self, batch)

    if number == signal.SIGKILL:
        journal.EVERY = 0.0
    Detect.__call__ = counted  # type: ignore[method-assign]
    return arguments


def check_visible_files(workspace: Path) -> int:
    """Read every visible file of a workspace; the number of shards."""
    shards = 0
    for path in workspace.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(workspace).parts):
            continue
        if path.suffix == ".parquet":
            pq.read_table(path)
            shards += 1
        elif path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
    return shards


def content(workspace: Path, layer: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (workspace / layer).glob("*.parquet")}
