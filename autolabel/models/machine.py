"""What a figure was measured on: a speed, and a trained student too, differ from one to another."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from pathlib import Path

import torch


def processor(device: torch.device) -> str:
    """Return the name of what a device computes with, as its maker gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return " ".join(line.partition(":")[2].split())
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.SubprocessError):
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def threads() -> int:
    """Tell how many threads torch computes with on a CPU."""
    return torch.get_num_threads()
