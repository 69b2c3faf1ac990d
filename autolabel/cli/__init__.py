"""The command line; the only room that prints or exits."""

from __future__ import annotations

import errno
import signal
import sys
from pathlib import Path
from types import FrameType

import typer
from typer.exceptions import TyperException

from autolabel.cli.commands import app
from autolabel.cli.screen import message, problem
from autolabel.errors import AutolabelError, suggest


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C."""
    try:
        signal.signal(signal.SIGTERM, _interrupted)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a background job
            signal.signal(signal.SIGINT, _interrupted)
        status = _run(arguments)
        _warn_of_plugins()
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def _warn_of_plugins() -> None:
    """Say which plugins are broken, where the command has looked at them."""
    if "autolabel.plugins" in sys.modules:
        from autolabel.plugins import problems_met

        for line in problems_met():
            message(f"warning: {line}")


def _run(arguments: list[str] | None) -> int:
    try:
        command = typer.main.get_command(app)
        status = command.main(arguments, prog_name="autolabel", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except AutolabelError as e:
        problem(e.message, e.hint)
        return e.exit_status
    except TyperException as e:
        if str(e):  # without arguments it has printed the help, and there is nothing to add
            problem(*_worded(e))
        return 2
    except OSError as e:
        from autolabel.store import REFUSED, not_writable

        if e.errno in (errno.EMFILE, errno.ENFILE):
            problem(f"{e.filename or 'a file'}: {e.strerror}", "allow more: ulimit -n 1024")
            return 1
        if e.errno not in REFUSED | {errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EIO}:
            raise
        refused = not_writable(Path(e.filename or "the disk"), e)
        problem(refused.message, refused.hint)
        return refused.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return 130


def _worded(error: Exception) -> tuple[str, str]:
    """Return a usage error of the command line as message and hint."""
    context = getattr(error, "ctx", None)
    message = getattr(error, "format_message", lambda: str(error))()
    possible = getattr(error, "possibilities", None)
    where = context.command_path if context else "autolabel"
    message = message.split(" Did you mean")[0].split(" (Possible")[0].rstrip(".")
    known = list(getattr(getattr(context, "command", None), "commands", {}))
    if known and "No such command" in message:
        return message, suggest(message.split("'")[1], known, "the commands are")
    if possible:
        return message, f"did you mean {', '.join(sorted(possible))}?"
    return message, f"{where} --help lists what it takes"


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
