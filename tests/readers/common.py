"""What every reader prints: the classes, and the objects of each image by its file name."""

import base64
import json
import sys
from pathlib import Path

import numpy as np


def row(label, box, mask=None):
    """One object; the mask, bool (height, width), as its packed bits."""
    bits = None
    if mask is not None:
        mask = np.asarray(mask)
        bits = base64.b64encode(np.packbits(mask.astype(bool))).decode()
    return [str(label), *(float(v) for v in box), bits]


def tell(read):
    """Call `read(format, folder, with masks)` -> names, {file name: rows}, and print the answer."""
    format_name, folder, masks = sys.argv[1:]
    names, images = read(format_name, Path(folder), masks == "masks")
    sys.stdout.write("\n" + json.dumps({"names": list(names), "images": images}) + "\n")


def filled(rings, height, width):
    """Fill polygons (x, y) of one object, each by itself."""
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (width, height))
    for ring in rings:
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in np.reshape(ring, (-1, 2))], 1, 1)
    return np.array(canvas, bool)
