"""The command as a process: Ctrl-C at any early moment, and what libraries have to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import make_photos

# Sends itself the signal when the import number `sys.argv[1]` begins.
CHILD = """
import os, signal, sys

class Clock:
    seen, wanted = 0, int(sys.argv.pop(1))

    def find_spec(self, name, path=None, target=None):
        Clock.seen += 1
        if Clock.seen == Clock.wanted:
            os.kill(os.getpid(), signal.SIGINT)

from autolabel.__main__ import main
sys.meta_path.insert(0, Clock())
main()
print(Clock.seen, file=sys.stderr)
"""


def child(moment: int, *arguments: object) -> tuple[int, str]:
    command = [sys.executable, "-c", CHILD, str(moment), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("moment", [1, 30, 150, 300, 370, 400])
def test_ctrl_c_while_it_loads_shows_no_traceback(moment: int, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 2)
    status, err = child(moment, "ingest", tmp_path / "photos", "-w", tmp_path / "ws")
    assert status == 130
    assert "Traceback" not in err
    assert "Exception" not in err


@pytest.mark.parametrize("where", ["typer.main.get_command", "autolabel.cli._warn_of_plugins"])
def test_ctrl_c_before_and_after_the_command_itself(where: str) -> None:
    module, _, name = where.rpartition(".")
    code = (
        f"import os, signal, sys, autolabel.cli, {module} as module\n"
        "from autolabel.__main__ import main\n"
        f"module.{name} = lambda *a: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv[1:] = ['models', '--json']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_second_ctrl_c_while_threads_end_shows_no_traceback() -> None:
    code = (
        "import os, signal, sys, threading, time, autolabel.cli\n"
        "def again():\n"
        "    time.sleep(0.3)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(3)\n"
        "def command():\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    threading.Thread(target=again).start()\n"
        "    sys.exit(130)\n"
        "autolabel.cli.main = command\n"
        "from autolabel.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_background_job_goes_on_after_ctrl_c(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 2)
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + CHILD
    ws = tmp_path / "ws"
    done = subprocess.run(
        [sys.executable, "-c", ignoring, "200", "ingest", tmp_path / "photos", "-w", ws],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_libraries_tell_programmers_is_shown_only_on_demand() -> None:
    code = (
        "import numpy as np, autolabel.cli\n"
        "autolabel.cli.main = lambda: np.log(np.zeros(1))\n"
        "from autolabel.__main__ import main\n"
        "main()"
    )

    def said(*options: str) -> str:
        command = [sys.executable, *options, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    assert said() == ""
    assert "RuntimeWarning" in said("-W", "default")
