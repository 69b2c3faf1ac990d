"""Damaged pictures of every format that PIL writes, through ingest, detect and export."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.attack.conftest import MODELS
from tests.attack.forked import Forked, contents

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ATTACK_SEED", "0"))
EACH = int(os.environ.get("ATTACK_IMAGES", "24"))
"""Damaged copies of each picture."""

WORDS = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 65500, 30000]


def pictures() -> dict[str, bytes]:
    """A small picture in every format and mode, by file name."""
    rng = np.random.default_rng(SEED)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    photo = coarse.resize((96, 64), Image.Resampling.BICUBIC)
    ways = {
        "bmp": [("RGB", {}), ("L", {}), ("P", {}), ("1", {})],
        "gif": [("P", {}), ("P", {"save_all": True, "append_images": [photo.convert("P")] * 2})],
        "jpg": [("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})],
        "png": [("RGB", {}), ("RGBA", {}), ("P", {}), ("I;16", {}), ("1", {}), ("LA", {})],
        "tif": [
            ("RGB", {"compression": name})
            for name in ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd", "lzma")
        ]
        + [("F", {}), ("I;16", {}), ("1", {"compression": "group4"}), ("CMYK", {})],
        "webp": [("RGB", {}), ("RGBA", {"lossless": True})],
        "jp2": [("RGB", {})],
        "avif": [("RGB", {})] if features.check("avif") else [],
    }
    made: dict[str, bytes] = {}
    for suffix, modes in ways.items():
        for i, (mode, options) in enumerate(modes):
            grey = photo.convert("L")
            one = grey.convert("I").convert(mode) if mode == "I;16" else photo.convert(mode)
            sink = io.BytesIO()
            name = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
            one.save(sink, name, **options)
            made[f"{suffix}{i}.{suffix}"] = sink.getvalue()
    return made


def damaged(data: bytes, chosen: random.Random) -> bytes:
    bad = bytearray(data)
    kind = chosen.randrange(5)
    if kind == 0:
        for _ in range(chosen.choice((1, 3, 40))):
            bad[chosen.randrange(len(bad))] ^= 1 << chosen.randrange(8)
    elif kind == 1:
        del bad[chosen.randrange(len(bad)) :]
    elif kind == 2:  # in the header, a number that is far too large or small
        at = chosen.randrange(min(len(bad), 200))
        word = chosen.choice(WORDS)
        bad[at : at + 4] = word.to_bytes(4, chosen.choice(("little", "big")))
    elif kind == 3:  # a part again in another place
        a, b, c = (chosen.randrange(len(bad)) for _ in range(3))
        bad[c:c] = bad[min(a, b) : max(a, b)]
    else:
        bad[chosen.randrange(len(bad)) :] = chosen.randbytes(200)
    return bytes(bad)


@pytest.mark.parametrize("part", range(4))
def test_damaged_pictures(command: Forked, elsewhere: Path, tmp_path: Path, part: int) -> None:
    chosen = random.Random(SEED * 1000 + part)
    folder, home = tmp_path / "photos", tmp_path / "ws"
    folder.mkdir()
    for i, (name, data) in enumerate(sorted(pictures().items())):
        if i % 4 == part:
            (folder / f"whole-{name}").write_bytes(data)
            for k in range(EACH):
                (folder / f"{k}-{name}").write_bytes(damaged(data, chosen))
    before, taken = contents(elsewhere), contents(folder)
    prompts = ["--prompt", "red blood cell", "--box-threshold", "0.05"]
    for arguments in (
        ["ingest", folder, "-w", home],
        ["detect", home, "--model", MODELS / "detector", *prompts],
        ["export", home, "--format", "coco", "--out", tmp_path / "coco"],
        ["export", home, "--format", "yolo", "--out", tmp_path / "yolo"],
        ["preview", home, "--out", tmp_path / "drawn"],
        ["status", home, "--json"],
    ):
        answer = command(*arguments, seconds=300)
        assert answer.fault() is None, answer
        assert "whole-" not in answer.err, answer.err
    assert contents(elsewhere) == before
    assert contents(folder) == taken
