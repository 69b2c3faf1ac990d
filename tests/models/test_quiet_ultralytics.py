from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_its_first_start_says_nothing(tmp_path: Path) -> None:
    code = (
        "from autolabel.models.quiet_ultralytics import load_ultralytics\n"
        "load_ultralytics()\n"
        "from ultralytics.utils import LOGGER\n"
        "assert LOGGER.isEnabledFor(20)"  # the log of a training is kept
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout + done.stderr == ""
    assert list(tmp_path.rglob("settings.json")), "it was not its first start"
