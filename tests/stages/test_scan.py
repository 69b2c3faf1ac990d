"""Scan: what a row says of its file."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.ops.hashes import phash
from autolabel.ops.images import content_id, decode
from autolabel.sources import find_images, to_uri
from autolabel.stages.scan import Scan
from autolabel.types import Record, from_table, to_table


def picture(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_scan_fills_in_what_the_file_says(tmp_path):
    data = png(picture())
    (tmp_path / "a b.jpg").write_bytes(data)  # a PNG, whatever its name
    scan = Scan(tmp_path)
    given_record = Record("", "a b.jpg")
    assert scan.wants(given_record)
    [record] = scan([scan.prepare(given_record)])
    assert record == Record(
        image_id=content_id(data),
        uri="a b.jpg",
        width=60,
        height=40,
        group=content_id(data),
        phash=phash(decode(data)),
    )
    assert record.pixels is None
    assert record.usable


def test_scan_gives_the_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(60, 40).save(tmp_path / "a.png", exif=exif)
    record = Scan(tmp_path).prepare(Record("", "a.png"))
    assert (record.width, record.height) == (40, 60)


def make_folder(path: Path) -> None:
    path.mkdir()


# name -> (how it is made, its error); bytes that were read give the id, else the uri does
UNREADABLE = {
    "empty.jpg": (lambda p: p.touch(), "empty file"),
    "text.jpg": (lambda p: p.write_text("hello"), "not an image"),
    "half.png": (
        lambda p: p.write_bytes(png(picture())[:3000]),
        "truncated: the PNG file ends before the picture does",
    ),
    "folder.jpg": (make_folder, "not a regular file"),
    "pipe.jpg": (os.mkfifo, "not a regular file"),
    "gone.jpg": (lambda p: None, "missing"),
    "loop.jpg": (lambda p: p.symlink_to(p), "too many levels of symbolic links"),
    "dangling.jpg": (lambda p: p.symlink_to("nowhere.jpg"), "missing"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_scan_keeps_the_row_of_a_file_that_cannot_be_used(tmp_path, name):
    make, error = UNREADABLE[name]
    path = tmp_path / name
    make(path)
    record = Scan(tmp_path).prepare(Record("", name))
    was_read = path.is_file()
    image_id = content_id(path.read_bytes() if was_read else f"unreadable:{name}".encode())
    assert record == Record(image_id, name, error=error, group=image_id)
    assert Scan(tmp_path).held_out(Record("", name)) == [record]


def test_scan_reports_exhausted_memory(tmp_path, monkeypatch):
    def exhausted(data: bytes) -> None:
        raise MemoryError

    (tmp_path / "a.png").write_bytes(png(picture()))
    monkeypatch.setattr("autolabel.stages.scan.decoded", exhausted)
    record = Scan(tmp_path).prepare(Record("", "a.png"))
    assert record.error == "not enough memory to read it"


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"file:a.png", "кот \n'\".png".encode()])
def test_odd_names_are_found_scanned_and_stored(tmp_path, name):
    (tmp_path / os.fsdecode(name)).write_bytes(png(picture()))
    [path] = find_images([str(tmp_path)]).paths
    record = Scan(tmp_path).prepare(Record("", to_uri(path, tmp_path)))
    assert record.error is None
    assert from_table(to_table([record])) == [record]
