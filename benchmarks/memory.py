"""Peak memory of `ingest` and `detect` over few and over many generated images.

    python benchmarks/memory.py [--images 500 5000] [--model sample_data/models/detector]

Each count runs the two commands in fresh processes; the figure is the largest resident set of each,
as the kernel counts it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table


def generate(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        photo = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)
        photo.save(folder / f"{i:06d}.jpg", quality=85)


def peak_mb(command: list[str]) -> tuple[float, float]:
    """Largest resident set (MB) and seconds of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return usage.ru_maxrss / 1024, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--model", default="sample_data/models/detector")
    options = parser.parse_args()
    table = Table("images", "ingest MB", "detect MB", "ingest s", "detect s", "peak against first")
    first = 0.0
    autolabel = [sys.executable, "-m", "autolabel"]
    for count in options.images:
        with tempfile.TemporaryDirectory() as home:
            photos, workspace = Path(home, "photos"), str(Path(home, "ws"))
            generate(photos, count)
            ingest = peak_mb([*autolabel, "ingest", str(photos), "--workspace", workspace])
            detect = peak_mb(
                [
                    *autolabel,
                    "detect",
                    workspace,
                    "--model",
                    options.model,
                    "--prompt",
                    "platelet",
                    "--prompt",
                    "red blood cell",
                    "--box-threshold",
                    "0.1",
                ]
            )
        peak = max(ingest[0], detect[0])
        first = first or peak
        figures = (ingest[0], detect[0], ingest[1], detect[1])
        table.add_row(str(count), *(f"{x:.0f}" for x in figures), f"{peak / first:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
