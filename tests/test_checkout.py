"""What the tests run is this checkout, also in the processes that they start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import autolabel
from tests.conftest import REPO

WHERE = "import importlib.util; print(importlib.util.find_spec('autolabel').origin)"


def test_this_process_has_the_checkout() -> None:
    assert Path(autolabel.__file__) == REPO / "autolabel" / "__init__.py"


def test_a_subprocess_has_the_checkout(tmp_path: Path) -> None:
    """Also where nothing is installed, which -S stands for."""
    for options in ([], ["-S"]):
        command = [sys.executable, *options, "-c", WHERE]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()) == REPO / "autolabel" / "__init__.py"


def test_a_test_that_would_start_what_is_installed_fails() -> None:
    with pytest.raises(AssertionError, match="PYTHONPATH"):
        subprocess.run([sys.executable, "-c", ""], env={"PATH": ""}, check=True)
