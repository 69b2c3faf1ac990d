"""What the kill -9 tests share: commands without start-up, killed at a counted change of the disk.

A process that has imported everything forks for every command. One that is to be killed counts
what changes in its folder (a file begun, written, renamed, linked or removed, a folder made) and
gets the signal before the change that the test names: so each state that the disk is in for a
moment is tried, on any machine, and none of them twice.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

# -- what a process does to a folder ---------------------------------------------------------------


class Watch:
    """Counts the changes that this process makes in a folder, and stops it at one of them.

    Args:
        folder: what lies elsewhere does not count.
        at: the number, from 1, of the change before which `act` is called; 0 only counts.
        act: stops the process, or raises; it is called at every later change too, and is given how
            many there were since the first.

    Attributes:
        changes: each change so far: what was done, and to which path.
    """

    def __init__(self, folder: Path, at: int = 0, act: Callable[[int], None] | None = None) -> None:
        self.folder, self.at, self.act = str(folder), at, act
        self.changes: list[tuple[str, str]] = []

    @property
    def count(self) -> int:
        return len(self.changes)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES:
            return
        named = arguments[:1] if event == "open" else arguments  # what follows is a mode
        paths = [os.fsdecode(a) for a in named if isinstance(a, str | bytes | os.PathLike)]
        if not any(f"{path}/".startswith(f"{self.folder}/") for path in paths):
            return
        if CHANGES[event](paths[-1], arguments):
            self.changes.append((event, paths[-1]))
            if self.act is not None and self.at and self.count >= self.at:
                self.act(self.count - self.at)


def _begins(path: str, arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
    return bool(writes and (flags & os.O_TRUNC or not os.path.lexists(path)))


def _always(path: str, arguments: tuple[Any, ...]) -> bool:
    return True


def _is_there(path: str, arguments: tuple[Any, ...]) -> bool:
    return os.path.lexists(path)


CHANGES: dict[str, Callable[[str, tuple[Any, ...]], bool]] = {
    "open": _begins,
    "os.fsync": lambda path, _: stat.S_ISREG(os.lstat(path).st_mode),  # a file has been written
    "os.rename": _always,
    "os.link": _always,
    "os.truncate": _always,
    "os.mkdir": lambda path, _: Path(path).parent.is_dir() and not os.path.lexists(path),
    "os.remove": _is_there,
    "os.rmdir": _is_there,
}
"""Audit event -> whether it changes what is on disk, as writing over nothing does not."""

_watching: list[Watch] = []
"""An audit hook stays for ever; this is whom the one of the tests asks."""

_installed: list[Any] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("os.remove", "os.rmdir", "os.mkdir") and isinstance(arguments[-1], int):
        path, *_, folder = arguments
        arguments = (Path(_opened(folder), path) if folder >= 0 else path,)
    for watch in _watching:
        watch(event, arguments)


def _opened(file: int) -> str:
    return str(Path(f"/proc/self/fd/{file}").readlink())


@contextmanager
def watched(watch: Watch) -> Iterator[Watch]:
    """Let a watch see what this process does. No power is cut: nothing waits for disks."""
    if _audit not in _installed:
        sys.addaudithook(_audit)
        _installed.append(_audit)
    fsync = os.fsync
    os.fsync = lambda file: _audit("os.fsync", (_opened(_number(file)),))
    _watching.append(watch)
    try:
        yield watch
    finally:
        _watching.remove(watch)
        os.fsync = fsync


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def tear(watch: Watch) -> None:
    """Cut off the file that was just written, if one was, as a kill in the middle of it does."""
    _watching.clear()
    event, path = watch.changes[-1]
    if event == "os.fsync":
        os.truncate(path, Path(path).stat().st_size // 2)


def covering(changes: Sequence[tuple[str, str]]) -> list[int]:
    """Numbers of changes: the first and the last of each kind, whatever its shard or embedder.

    Of what is torn, the first: the next change finds it whole.
    """
    kinds: dict[tuple[str, str], list[int]] = {}
    for number, (event, path) in enumerate(changes, 1):
        kind = event, re.sub(r"\d+|(?<=/embed/)\w+", "#", path)
        same = kinds.setdefault(kind, [number])
        kinds[kind] = same if event == "os.fsync" else [same[0], number]
    return sorted({number for same in kinds.values() for number in same})


# -- commands in processes of their own ------------------------------------------------------------


def serve() -> None:
    """Run commands, each in a fork; the first ones, that are to warm it up, in this process."""
    import typer.main

    import autolabel.cli
    import autolabel.models.grounding_dino
    import autolabel.models.image_only
    import autolabel.models.image_text
    import autolabel.models.sam  # noqa: F401
    from autolabel import registry

    # Forks have the models that the first commands loaded, and the commands.
    registry.load = cache(registry.load)
    typer.main.get_command = cache(typer.main.get_command)
    answers, null = os.fdopen(os.dup(1), "w"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)

    def answer(what: Any) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    for line in sys.stdin:
        job = json.loads(line)
        if job["here"]:
            answer(os.getpid())
            answer([_status_of(job["arguments"]), []])
            continue
        gc.collect()
        gc.freeze()  # or the collectors of the children would copy every page
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _work(job, write)
        os.close(write)
        answer(pid)
        with os.fdopen(read, "rb") as pipe:
            changes = json.loads(pipe.read() or b"[]")
        answer([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), changes])


def _status_of(arguments: list[str]) -> int:
    import autolabel.cli

    try:
        autolabel.cli.main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _work(job: dict[str, Any], write: int) -> None:
    """Run one command and end, without taking all the modules down, which takes seconds."""
    from autolabel.engine import journal

    status = 1
    try:
        sys.stdin.close()
        if job["journal"]:
            journal.EVERY = 0.0  # after every batch: stands for batches of two seconds and more
        if job["batches"] is not None:
            _die_at_batch(job["batches"], job["number"])

        def die(_: int) -> None:
            tear(watch)
            os.kill(os.getpid(), signal.SIGKILL)

        with watched(Watch(Path(job["folder"]), job["at"], die)) as watch:
            status = _status_of(job["arguments"])
        if not job["at"]:
            os.write(write, json.dumps(watch.changes).encode())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _die_at_batch(batches: int, number: int) -> None:
    """Send a signal when the detector begins a batch and so many are done."""
    from autolabel.stages.detect import Detect

    call, left = Detect.__call__, [batches]

    def counted(self: Any, batch: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), number)
        return call(self, batch)

    Detect.__call__ = counted  # type: ignore[method-assign]


class Zygote:
    """Runs commands in forks of one process that has imported everything."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tests.crash import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def start(self, arguments: list[str], **options: Any) -> int:
        """Begin a command; its process id."""
        job = {
            "arguments": arguments, "here": False, "folder": "/nowhere", "at": 0, "journal": False,
            "batches": None, "number": 0, **options,
        }  # fmt: skip
        self.stdin.write(json.dumps(job) + "\n")
        self.stdin.flush()
        return int(json.loads(self.stdout.readline()))

    def wait(self) -> tuple[int, list[tuple[str, str]]]:
        """The exit status of the command that was begun, and what it changed in its folder."""
        status, changes = json.loads(self.stdout.readline())
        return status, [(event, path) for event, path in changes]

    def run(self, arguments: list[str], **options: Any) -> int:
        self.start(arguments, **options)
        return self.wait()[0]

    def run_here(self, arguments: list[str]) -> int:
        """Run a command in the zygote itself: those like it, in forks, then load nothing anew."""
        return self.run(arguments, here=True)

    def changes(self, arguments: list[str], folder: Path) -> list[tuple[str, str]]:
        """Run a command to its end, with journals; what it changes in a folder, in order."""
        self.start(arguments, folder=str(folder), journal=True)
        status, changes = self.wait()
        assert status == 0
        return changes

    def kill_at(self, arguments: list[str], folder: Path, at: int) -> int:
        """Kill a command, with journals, before the `at`-th change of a folder; its exit status."""
        return self.run(arguments, folder=str(folder), at=at, journal=True)

    def die_at_batch(self, arguments: list[str], batches: int, number: int) -> int:
        """Run a command that gets a signal when its detector begins a batch; its exit status.

        Killed, it has put on disk what was done before.
        """
        journal = number == signal.SIGKILL
        return self.run(arguments, batches=batches, number=number, journal=journal)

    def kill_after(self, arguments: list[str], seconds: float) -> int:
        """Kill a command after some time; its exit status."""
        pid = self.start(arguments)
        time.sleep(seconds)
        subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        return self.wait()[0]

    def close(self) -> None:
        self.stdin.close()
        self.process.kill()  # what its libraries say when they end is of no use
        self.process.wait()
        self.stdout.close()


# -- what a kill left ------------------------------------------------------------------------------


def check_visible_files(workspace: Path) -> int:
    """Read every visible file of a workspace; the number of shards."""
    shards = 0
    for path in visible_files(workspace):
        if path.suffix == ".parquet":
            pq.read_table(path)
            shards += 1
        elif path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
    return shards


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder that are not hidden, nor in a hidden folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def content(workspace: Path, layer: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (workspace / layer).glob("*.parquet")}
