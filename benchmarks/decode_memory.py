"""What pictures that are little on disk and much in memory take to decode, alone and side by side.

python benchmarks/decode_memory.py
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from autolabel.ops.images import decode

SIDE = 13_350  # just below the limit of pixels


def bomb(kind: str) -> bytes:
    """An empty picture of that kind."""
    sink = io.BytesIO()
    if kind == "float TIFF":
        image = Image.fromarray(np.zeros((SIDE, SIDE), np.float32))
        image.save(sink, "TIFF", compression="tiff_adobe_deflate")
    else:
        Image.new("1", (SIDE, SIDE)).save(sink, "PNG")
    return sink.getvalue()


def measure(threads: int) -> None:
    """Decode what comes on standard input on so many threads, and print what it took."""
    data = sys.stdin.buffer.read()
    before = peak_bytes()
    start = time.process_time()
    workers = [threading.Thread(target=decode, args=(data,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.process_time() - start
    print(f"{(peak_bytes() - before) / 1e6:.0f} MB, {seconds:.1f} s of processor")


def peak_bytes() -> int:
    """The most memory that this process has had; Linux alone tells it for this program alone."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Print a row for each kind and number of threads."""
    for kind in ("float TIFF", "1-bit PNG"):
        data = bomb(kind)
        for threads in (1, 2):
            command = [sys.executable, __file__, str(threads)]
            done = subprocess.run(command, input=data, capture_output=True, check=True)
            print(f"{kind}, {len(data):,} bytes, {threads} at once: {done.stdout.decode().strip()}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
    else:
        main()
