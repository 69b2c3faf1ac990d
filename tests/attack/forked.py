"""Runs commands in processes of their own, which a watchdog ends: hundreds in a minute."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 30
"""A command on a few small photos that takes longer hangs."""
MEMORY = 6 * 2**30
"""Bytes of address space that a command may take beside what its libraries take."""

# Imports once, then forks for every command. The watchdog is the parent's, for C knows no signals.
ZYGOTE = """
import gc, json, os, resource, sys, time, traceback
import autolabel.cli, autolabel.cli.run, autolabel.report
import autolabel.stages.detect, autolabel.stages.ingest, autolabel.stages.refine
import autolabel.report.preview, autolabel.models.grounding_dino, autolabel.models.sam
import autolabel.datasets.export, autolabel.stages.filter
import autolabel.models.image_text, autolabel.models.image_only, autolabel.cli.show_evaluation
import huggingface_hub, supervision, scipy.ndimage
from transformers import SamModel, SamProcessor
from transformers import BitImageProcessor, CLIPModel, CLIPProcessor, Dinov2Model

def child(job):
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["cwd"])
    os.environ.update(job["env"])
    for name in job["unset"]:
        os.environ.pop(name, None)
    taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limits = {"RLIMIT_AS": taken + job["memory"], **job["limits"]}
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    watched, opened = job["watched"], job["opened"]
    left = [job["fail_write"]]

    def hook(event, arguments):
        if event == "open" and watched and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if path.startswith(watched) and not path.startswith(tuple(job["allowed"])):
                with os.fdopen(os.open(opened, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w") as f:
                    f.write(path + chr(10))
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
        if left[0] is not None and (writes or event in ("os.rename", "os.mkdir", "os.remove")):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device", str(arguments[0]))

    sys.addaudithook(hook)
    code = 120
    try:
        autolabel.cli.main(job["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take all modules down costs seconds

gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        sys.stdin.close()
        child(job)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            answer = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() - start > job["seconds"]:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            answer = "hang"
            break
        time.sleep(0.002)
    print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True)
class Answer:
    """How a command ended: its status, or ``hang``; what it said; what it opened beside its own."""

    status: int | str
    err: str
    opened: str
    arguments: list[str]

    def fault(self) -> str | None:
        """What a hostile input must not bring about, or None."""
        if self.status not in (0, 1, 2, 130):
            return f"status {self.status}: {self.err[-600:]}"
        if "Traceback" in self.err:
            return self.err[-900:]
        if self.opened:
            return f"opened {self.opened}"
        if self.status in (1, 2) and not re.search(r"^(error|\S+ stopped)", self.err, re.MULTILINE):
            return f"no error: in {self.err[-600:]!r}"
        return None


class Forked:
    """Commands of one attack.

    Args:
        folder: for what commands print.
        watched: nothing below this folder may be opened, but for `allowed`.
        allowed: what commands are given.
    """

    def __init__(self, folder: Path, watched: Path | None = None) -> None:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.folder, self.watched = folder, watched
        self.count = 0

    def __call__(self, *arguments: object, **changes: Any) -> Answer:
        given = [str(a) for a in arguments]
        self.count += 1
        at = {name: str(self.folder / f"{name}.txt") for name in ("out", "err", "opened")}
        Path(at["opened"]).unlink(missing_ok=True)
        job = {
            "arguments": given, "cwd": str(self.folder), "env": {}, "unset": [], "limits": {},
            "memory": MEMORY, "seconds": SECONDS, "fail_write": None, "allowed": [],
            "watched": "" if self.watched is None else str(self.watched.resolve()),
            **at, **changes,
        }  # fmt: skip
        self.stdin.write(json.dumps(job) + "\n")
        self.stdin.flush()
        status = json.loads(self.stdout.readline())
        opened = Path(at["opened"])
        return Answer(
            status,
            Path(at["err"]).read_text("utf-8", "replace"),
            opened.read_text("utf-8") if opened.exists() else "",
            given,
        )

    def close(self) -> None:
        self.stdin.close()
        self.process.wait()
        self.stdout.close()


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder, to see that nothing changed in it."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file():
            found[str(path)] = path.read_bytes()
    return found
