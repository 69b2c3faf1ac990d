"""``python -m autolabel``, and the command ``autolabel``."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType

STOPPED = 130
"""Exit status after Ctrl-C, as shells give it: 128 and the signal's number."""


def main() -> None:
    """Run the command line; Ctrl-C while it is loaded or put away ends it without a word."""
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else a background job
    if listens:
        signal.signal(signal.SIGINT, _stopped)
    if not sys.warnoptions:  # what libraries tell programmers; `python -W` shows it
        warnings.simplefilter("ignore")
    from autolabel.cli import main as command

    try:
        command()
    finally:
        if listens:
            signal.signal(signal.SIGINT, _stopped)


def _stopped(number: int, frame: FrameType | None) -> None:
    os._exit(STOPPED)  # nothing is being written, and what is broken off would show a traceback


if __name__ == "__main__":
    main()
