"""How images get into a dataset."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import EngineConfig, ExportConfig, IngestConfig
from autolabel.datasets.export import export
from autolabel.errors import AutolabelError
from autolabel.stages.ingest import ingest
from autolabel.store import Workspace
from tests.datasets.conftest import HEIGHT, ONTOLOGY, WIDTH, Fixture


def one_image(root: Path, name: str, save: dict[str, Any], mode: str = "RGB") -> Fixture:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:32, :48] = [200, 30, 30]
    (root / "photos").mkdir()
    Image.fromarray(pixels).convert(mode).save(root / "photos" / name, **save)
    return Fixture(root, [root / "photos" / name])


def test_a_turned_image_is_written_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    made = one_image(tmp_path, "a.jpg", {"exif": exif, "quality": 95})
    made.write(replace(made.records[0], width=HEIGHT, height=WIDTH))
    made.export(link="symlink")
    path = made.out / "images" / "train" / "a.jpg"
    assert not path.is_symlink()
    with Image.open(path) as image:
        assert image.size == (HEIGHT, WIDTH)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.layer[0][1:3] == image.layer[1][1:3]  # 4:4:4
        assert image.getpixel((55, 10))[0] > 150  # the upper left has gone to the upper right
        assert image.getpixel((10, 10))[0] < 50


@pytest.mark.parametrize(
    ("name", "mode", "save", "written"),
    [
        ("a.jpg", "CMYK", {}, "a.jpg"),
        ("a.png", "RGBA", {}, "a.png"),
        ("a.gif", "P", {}, "a.png"),
        ("a.webp", "RGB", {}, "a.webp"),
        ("wrong.jpg", "RGB", {"format": "PNG"}, "wrong.png"),
        ("photo.JPEG", "L", {}, "photo.jpg"),
    ],
)
def test_every_image_is_8_bit_under_its_true_ending(
    tmp_path: Path, name: str, mode: str, save: dict[str, Any], written: str
) -> None:
    made = one_image(tmp_path, name, save, mode)
    made.export()
    assert made.files()[-1] == f"images/train/{written}"
    with Image.open(made.out / "images" / "train" / written) as image:
        assert image.mode == ("L" if mode == "L" else "RGB")
        assert image.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[written.split(".")[1]]


@pytest.mark.parametrize("compression", ["zstd", "lzma"])
def test_a_tiff_that_opencv_cannot_read_is_written_anew(tmp_path: Path, compression: str) -> None:
    made = one_image(tmp_path, "a.tif", {"compression": compression})
    for link in ("copy", "symlink"):
        assert made.export(link=link).rewritten == 1
        assert made.files()[-1] == "images/train/a.png"


def test_the_first_page_is_the_picture_in_every_stage(tmp_path: Path) -> None:
    """The second page lies behind the end of the file."""
    pages = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.tif"
    pages[0].save(photo, save_all=True, append_images=pages[1:])
    data = bytearray(photo.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, len(data) - 3)
    photo.write_bytes(data)

    workspace = Workspace(tmp_path / "ws")
    config = IngestConfig(source=(str(tmp_path / "photos"),))
    layer = ingest(workspace, config, EngineConfig()).layer
    (record,) = layer.records()
    assert (record.error, record.width, record.height) == (None, WIDTH, HEIGHT)
    done = export(workspace, layer, ONTOLOGY, ExportConfig(out=str(tmp_path / "out")))
    assert (done.images, done.problems) == (1, ())
    with Image.open(tmp_path / "out" / "images" / "train" / "a.png") as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)


def test_images_are_linked_where_that_is_asked_for(made: Fixture) -> None:
    source, target = made.root / "photos" / "0000.png", made.out / "images" / "train" / "0000.png"
    made.export(link="hardlink")
    assert target.samefile(source)
    assert not target.is_symlink()
    made.export(link="symlink")
    assert target.is_symlink()
    assert target.samefile(source)
    made.export(link="copy")
    assert not target.samefile(source)
    assert source.read_bytes() == target.read_bytes()


def test_links_that_the_system_refuses_say_what_to_type(
    made: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(AutolabelError, match="cannot be linked") as e:
        made.export(link="hardlink")
    assert "--link copy" in e.value.hint
