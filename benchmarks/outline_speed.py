"""How long it takes to write a noisy mask as one outline, for masks of more and more points.

Seconds are of the processor.

python benchmarks/outline_speed.py
"""

from __future__ import annotations

import time

import numpy as np
from scipy import ndimage

from autolabel.ops.masks import encode
from autolabel.ops.polygons import one_ring, outlines


def main() -> None:
    """Print a row for each size: rings, points, seconds of the outlines and of joining them."""
    for height, width in ((240, 320), (480, 640), (960, 1280)):
        noise = np.random.default_rng(0).standard_normal((height, width))
        counts = encode((ndimage.gaussian_filter(noise, 1) > 0)[None])[0]
        start = time.process_time()
        parts = outlines(counts, height, width)
        middle = time.process_time()
        points = len(one_ring(parts))
        end = time.process_time()
        rings = sum(1 + len(part.holes) for part in parts)
        print(
            f"{width} x {height}: {rings} rings, {points} points, "
            f"outlines {middle - start:.2f} s, one path {end - middle:.2f} s"
        )


if __name__ == "__main__":
    main()
