"""A folder of hostile files: no crash, each problem named in its row, turned photos agree."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run

# EXIF orientation -> how upright pixels are stored so that it turns them back
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def huge_png(path: Path, side: int) -> None:
    """A valid 1-bit PNG of side x side pixels in some kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    row = b"\0" + b"\0" * ((side + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def turned(photo: Image.Image, orientation: int, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    method = STORED[orientation]
    stored = photo if method is None else photo.transpose(method)
    stored.save(path, exif=exif)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    folder = tmp_path / "hostile"
    folder.mkdir()
    source = SAMPLE / "blood_cells/unlabeled/BloodImage_00014.jpg"
    photo = Image.open(source).convert("RGB")
    (folder / "empty.jpg").touch()
    (folder / "truncated.jpg").write_bytes(source.read_bytes()[:5000])
    (folder / "text.jpg").write_text("no image", "utf-8")
    huge_png(folder / "bomb.png", 30_000)
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    deep = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.tiff")
    frames = [photo.resize((64, 48)), Image.new("RGB", (64, 48), "red")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    for i, name in enumerate(["a b.png", 'it\'s "so".png', "line\nbreak.png", "Кровь.png"]):
        photo.crop((i * 40, 0, i * 40 + 300, 300)).save(folder / name)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "ring.jpg").symlink_to(folder / "ring.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    for orientation in STORED:
        turned(photo, orientation, folder / f"exif{orientation}.png")
    return folder


def test_every_problem_is_named_and_turned_photos_agree(
    run: Run, hostile: Path, tmp_path: Path, detector: Path
) -> None:
    workspace = tmp_path / "ws"
    assert run("ingest", hostile, "--workspace", workspace).status == 0
    rows = {r.uri: r for r in Workspace(workspace).require("images").records()}
    errors = {name: row.error for name, row in rows.items() if row.error}
    assert errors.keys() == {
        "empty.jpg", "truncated.jpg", "text.jpg", "bomb.png", "ring.jpg", "gone.jpg", "pipe.jpg",
    }  # fmt: skip
    assert "empty" in errors["empty.jpg"]
    assert "truncated" in errors["truncated.jpg"]
    assert "not an image" in errors["text.jpg"]
    assert "30000 x 30000" in errors["bomb.png"]
    assert "symbolic links" in errors["ring.jpg"]
    assert "regular file" in errors["pipe.jpg"]
    assert {"a b.png", 'it\'s "so".png', "line\nbreak.png", "Кровь.png"} <= rows.keys()
    assert (rows["moving.gif"].width, rows["moving.gif"].height) == (64, 48)

    done = run(
        "detect", workspace, "--model", detector, "--prompt", "red blood cell",
        "--prompt", "white blood cell", "--box-threshold", "0.3",
    )  # fmt: skip
    assert done.status == 0, done.err
    found = {r.uri: r for r in Workspace(workspace).require("detect").records()}
    upright = found["exif1.png"].objects
    assert len(upright) > 5
    for orientation in STORED:
        row = found[f"exif{orientation}.png"]
        assert (row.width, row.height) == (640, 480)
        np.testing.assert_allclose(row.objects.xyxy, upright.xyxy, atol=0.05)
        np.testing.assert_allclose(row.objects.score, upright.score, atol=1e-4)
    assert {name: row.error for name, row in found.items() if row.error} == errors

    for style in ("coco", "yolo"):
        out = tmp_path / style
        assert run("export", workspace, "--format", style, "--out", out).status == 0
        assert len(list((out / "images/train").iterdir())) == len(rows) - len(errors)
