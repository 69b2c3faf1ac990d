"""Names of array types; each means one dtype wherever it stands."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""Upright RGB, (height, width, 3), or several of them."""
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Vectors = npt.NDArray[np.float32]
"""(n, dimensions), and other float32."""
