"""Commands in a terminal: what stands on the screen and above it when they have ended."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pyte

COLUMNS = 80


def python_in_terminal(
    *arguments: object, rows: int, kind: str = "xterm-256color"
) -> tuple[int, list[str]]:
    """Run Python in a terminal of so many rows: its exit status, and all lines that it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": kind}
    environment.pop("COLUMNS", None)
    child = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment,
    )  # fmt: skip
    os.close(theirs)
    screen = pyte.HistoryScreen(COLUMNS, rows, history=10_000)
    stream = pyte.ByteStream(screen)
    try:
        while seen := os.read(ours, 1 << 16):
            stream.feed(seen)
    except OSError:  # how a terminal says that nobody is left
        pass
    os.close(ours)
    above = ["".join(row[x].data for x in range(COLUMNS)) for row in screen.history.top]
    return child.wait(), [line.rstrip() for line in [*above, *screen.display]]
