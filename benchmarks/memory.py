"""Peak memory of `ingest`, `detect`, `refine` and `filter` over few and many generated images.

    python benchmarks/memory.py [--images 500 5000] [--until filter]

Each count runs the commands in fresh processes; the figure is the largest resident set of each, as
the kernel counts it, in brackets against the first count's.
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


def stages(photos: str, workspace: str, models: Path) -> dict[str, list[str]]:
    """The command of each stage, in their order."""
    words = ["--prompt", "platelet", "--prompt", "red blood cell", "--box-threshold", "0.1"]
    return {
        "ingest": ["ingest", photos, "--workspace", workspace],
        "detect": ["detect", workspace, "--model", str(models / "detector"), *words],
        "refine": ["refine", workspace, "--model", str(models / "segmenter")],
        "filter": ["filter", workspace, "--clip", str(models / "clip"), "--clip-margin=-0.9"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--models", type=Path, default=Path("sample_data/models"))
    parser.add_argument("--until", default="filter", help="the last stage to measure")
    options = parser.parse_args()
    names = list(stages("", "", options.models))
    names = names[: names.index(options.until) + 1]
    table = Table("images", *(f"{name}: MB" for name in names), *(f"{name}: s" for name in names))
    first: list[float] = []
    for count in options.images:
        with tempfile.TemporaryDirectory() as home:
            photos, workspace = Path(home, "photos"), Path(home, "ws")
            generate(photos, count)
            commands = stages(str(photos), str(workspace), options.models)
            seen = [peak_mb([sys.executable, "-m", "autolabel", *commands[n]]) for n in names]
        first = first or [mb for mb, _ in seen]
        against = [f"{mb:.0f} (x {mb / one:.3f})" for (mb, _), one in zip(seen, first, strict=True)]
        table.add_row(str(count), *against, *(f"{seconds:.0f}" for _, seconds in seen))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
