"""Image files as people have them: odd modes, wrong names, damage, and things that are no image."""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autolabel.ops import image_header, images
from autolabel.ops.image_header import open_image
from autolabel.ops.images import (
    ImageError,
    content_id,
    decode,
    is_plain,
    read_bytes,
    read_image,
    true_suffix,
)
from autolabel.ops.memory import Room, needed_bytes

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)  # taller than wide
SMOOTH = np.asarray(Image.fromarray(PIXELS).resize((64, 96), Image.Resampling.BICUBIC))


def encoded(image: Image.Image | npt.NDArray[Any], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """RGB with three equal channels."""
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=2)


def one_bit_png(width: int, height: int) -> bytes:
    """A white picture of any size in little memory."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def with_orientation(value: Any) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


# EXIF orientation -> what a camera stores for the upright picture `p`
STORED: dict[int, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),  # to be shown turned 90 degrees clockwise
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),  # libtiff takes another path through PIL
        ("WEBP", {"lossless": True}),
    ],
)
def test_all_eight_orientations_decode_to_the_same_upright_pixels(orientation, kind, options):
    stored = np.ascontiguousarray(STORED[orientation](PIXELS))
    data = encoded(stored, kind, exif=with_orientation(orientation), **options)
    np.testing.assert_array_equal(decode(data), PIXELS)
    assert is_plain(data) is (orientation == 1)


@pytest.mark.parametrize("orientation", STORED)
def test_jpeg_orientations_agree_up_to_compression(orientation):
    stored = np.ascontiguousarray(STORED[orientation](SMOOTH))
    data = encoded(stored, "JPEG", quality=95, subsampling=0, exif=with_orientation(orientation))
    upright = decode(data)
    assert upright.shape == SMOOTH.shape
    assert np.abs(upright.astype(int) - SMOOTH).mean() < 3


@pytest.mark.parametrize("value", [0, 9, 255])  # values that EXIF does not define
def test_unknown_orientation_is_upright(value):
    data = encoded(PIXELS, "PNG", exif=with_orientation(value))
    np.testing.assert_array_equal(decode(data), PIXELS)


def test_pixels_are_contiguous_and_writable():
    turned = decode(encoded(PIXELS, "PNG", exif=with_orientation(6)))
    assert turned.dtype == np.uint8
    assert turned.flags.c_contiguous
    assert turned.flags.writeable


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_decode_exactly(kind, options):
    np.testing.assert_array_equal(decode(encoded(PIXELS, kind, **options)), PIXELS)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("AVIF", {"quality": 95}), ("JPEG2000", {}), ("JPEG", {"quality": 95, "progressive": True})],
)
def test_lossy_formats_decode_closely(kind, options):
    assert np.abs(decode(encoded(SMOOTH, kind, **options)).astype(int) - SMOOTH).mean() < 4


GREY16 = np.array([[0, 255, 256], [257, 0x7FFF, 0xFFFF]], np.uint16)
HIGH_BYTE = grey([[0, 0, 1], [1, 127, 255]])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(GREY16, "PNG"), id="png"),
        pytest.param(encoded(GREY16, "TIFF"), id="tiff little-endian"),
        pytest.param(
            encoded(Image.frombytes("I;16B", (3, 2), GREY16.astype(">u2").tobytes()), "TIFF"),
            id="tiff big-endian",
        ),
        pytest.param(encoded(GREY16.astype(np.int32), "TIFF"), id="tiff 32-bit"),
        pytest.param(b"P5 3 2 65535\n" + GREY16.astype(">u2").tobytes(), id="pgm"),
    ],
)
def test_16_bit_grey_keeps_its_high_byte(data):
    np.testing.assert_array_equal(decode(data), HIGH_BYTE)
    assert not is_plain(data)


def test_32_bit_integers_are_clipped_to_16_bits():
    values = np.array([[-5, 65536], [70000, 512]], np.int32)
    np.testing.assert_array_equal(decode(encoded(values, "TIFF")), grey([[0, 255], [255, 2]]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5], [1.0, 0.2]], [[0, 128], [255, 51]]),  # 0 to 1: times 255
        ([[0.0, 100.4], [7.0, 255.0]], [[0, 100], [7, 255]]),  # 0 to 255: as they are
        ([[-1.0, 0.0], [1.0, -1.0]], [[0, 128], [255, 0]]),  # else: stretched
        ([[1000.0, 3000.0], [2000.0, 1000.0]], [[0, 255], [128, 0]]),
        ([[np.nan, 0.5], [np.inf, 1.0]], [[0, 128], [255, 255]]),  # NaN is black
        ([[300.0, 300.0], [300.0, 300.0]], [[0, 0], [0, 0]]),  # nothing to stretch
        ([[np.nan, np.nan], [np.nan, np.nan]], [[0, 0], [0, 0]]),
    ],
)
def test_float_tiff(values, expected):
    data = encoded(np.array(values, np.float32), "TIFF")
    np.testing.assert_array_equal(decode(data), grey(expected))


def test_transparency_is_laid_on_white():
    rgba = np.array([[[9, 8, 7, 255], [9, 8, 7, 0]]], np.uint8)
    np.testing.assert_array_equal(decode(encoded(rgba, "PNG"))[0], [[9, 8, 7], [255, 255, 255]])
    la = Image.fromarray(rgba).convert("LA")
    assert decode(encoded(la, "PNG"))[0, 1].tolist() == [255, 255, 255]


def test_palette_with_transparency_is_laid_on_white():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    expected = [[255, 255, 255], [40, 50, 60], [70, 80, 90]]
    assert decode(encoded(image, "PNG", transparency=0))[0].tolist() == expected
    assert decode(encoded(image, "GIF", transparency=0))[0].tolist() == expected
    half = decode(encoded(image, "PNG", transparency=bytes([0, 255, 0])))  # alpha per entry
    assert half[0].tolist() == [[255, 255, 255], [40, 50, 60], [255, 255, 255]]


def test_transparent_colour_of_a_png_without_alpha_is_white():
    image = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    data = encoded(image, "PNG", transparency=(1, 2, 3))
    assert decode(data)[0].tolist() == [[255, 255, 255], [4, 5, 6]]
    assert not is_plain(data)


def test_one_bit_png():
    assert decode(one_bit_png(9, 2)).tolist() == np.full((2, 9, 3), 255).tolist()


def test_cmyk_jpeg():
    data = encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95, subsampling=0)
    assert np.abs(decode(data).astype(int) - SMOOTH).mean() < 6
    assert not is_plain(data)


@pytest.mark.parametrize(
    ("mode", "stored"),
    [("YCbCr", (84, 114, 211)), ("LAB", (113, 192, 158))],  # both are (200, 30, 60), a red
)
def test_other_colour_spaces_in_tiff(mode, stored):
    pixels = decode(encoded(Image.new(mode, (2, 2), stored), "TIFF"))
    assert (np.abs(pixels.astype(int) - [200, 30, 60]) <= 3).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_several(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("#f00", "#00f", "#0f0")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert decode(data)[4, 4].tolist() == [255, 0, 0]
    assert not is_plain(data)


def test_heic_when_its_library_is_there():
    heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(SMOOTH)).save(buffer, quality=95)
    data = buffer.getvalue()
    assert true_suffix(data) == ".heic"
    assert not is_plain(data)
    assert np.abs(decode(data).astype(int) - SMOOTH).mean() < 6


def test_heic_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(ImageError, match=r"^HEIC needs pillow-heif, not installed$"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1")


JPEG = encoded(SMOOTH, "JPEG")
PNG = encoded(SMOOTH, "PNG")
# name -> (bytes, the whole message)
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty file"),
    "text": (b"hello, I am a text file", "not an image"),
    "text that begins as a PPM does": (b"Pygmies eat images", "not an image"),
    "html": (b"<html><body>404</body></html>", "not an image"),
    "half a JPEG": (
        JPEG[: len(JPEG) // 2],
        "truncated: the JPEG file ends before the picture does",
    ),
    "half a PNG": (PNG[: len(PNG) // 2], "truncated: the PNG file ends before the picture does"),
    "half a BMP": (
        encoded(SMOOTH, "BMP")[:5000],
        "truncated: the BMP file ends before the picture does",
    ),
    "start of a JPEG": (JPEG[:30], "truncated: the JPEG file ends before the picture does"),
    "too large": (
        one_bit_png(30_000, 30_000),
        "30000 x 30000 pixels is over the limit of 178956970",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_what_is_wrong(name):
    data, message = BAD[name]
    with pytest.raises(ImageError) as error:
        decode(data)
    assert str(error.value) == message


def test_size_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(image_header, "MAX_PIXELS", 23)
    with pytest.raises(ImageError, match=r"^4 x 6 pixels is over the limit of 23$"):
        decode(encoded(PIXELS, "PNG"))
    monkeypatch.setattr(image_header, "MAX_PIXELS", 24)
    assert decode(encoded(PIXELS, "PNG")).shape == (6, 4, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_pil_does_not_warn_below_our_limit(monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # PIL warns from here to twice as many
    assert decode(encoded(PIXELS, kind)).shape == (6, 4, 3)


def test_a_lower_limit_that_a_program_sets_for_pil_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)
    with pytest.raises(ImageError, match=r"^4 x 6 pixels is over the limit of 22$"):
        decode(encoded(PIXELS, "PNG"))


def broken_exif() -> bytes:
    """EXIF whose only entry points far behind its end."""
    entry = struct.pack("<HHII", 0x010F, 2, 4000, 100_000)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0\0\0\0"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [broken_exif(), b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0"])
def test_broken_exif_is_no_error_and_no_warning(kind, exif):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert decode(encoded(SMOOTH, kind, exif=exif)).shape == SMOOTH.shape
    assert caught == []


def test_warning_filters_of_threads_do_not_collide():
    data = encoded(SMOOTH, "JPEG", exif=broken_exif())
    with warnings.catch_warnings(), ThreadPoolExecutor(8) as pool:
        warnings.simplefilter("error")
        shapes = {a.shape for a in pool.map(decode, [data] * 64)}
        assert shapes == {SMOOTH.shape}
        with pytest.raises(UserWarning, match="somebody else"):
            warnings.warn("somebody else", stacklevel=1)


SEEDS = [
    encoded(SMOOTH, kind)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "JPEG2000")
] + [encoded(SMOOTH, "TIFF", compression="tiff_lzw", exif=with_orientation(6))]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_give_pixels_or_an_image_error(data):
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    near = st.integers(0, min(len(seed), 400) - 1)  # headers are where plugins go wrong
    for where in data.draw(st.lists(near, max_size=6)):
        seed[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(seed), len(seed) // 2, 40, 12, 5]))
    for look in (decode, is_plain):
        try:
            look(bytes(seed[:cut]))
            message = "none"
        except ImageError as error:
            message = str(error)
        assert re.fullmatch(".+", message)  # one line


PICTURE = Image.fromarray(SMOOTH)
TWO_JPEGS = encoded(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
"""As stereo cameras write them, and phones whose photos have a depth map."""

DAMAGED_LIST = TWO_JPEGS.replace(b"MPF\0II*\0\x08", b"MPF\0II*\0\xff", 1)


def test_of_a_jpeg_with_another_behind_it_the_first_is_the_picture():
    assert DAMAGED_LIST != TWO_JPEGS
    for data in (TWO_JPEGS, DAMAGED_LIST):
        np.testing.assert_array_equal(decode(data), decode(encoded(PICTURE, "JPEG")))


# what the bytes are, whatever the file is called -> (suffix, plain)
KINDS: dict[str, tuple[bytes, str, bool]] = {
    "jpeg": (JPEG, ".jpg", True),
    "grey jpeg": (encoded(SMOOTH[..., 0], "JPEG"), ".jpg", True),
    "png": (PNG, ".png", True),
    "grey png": (encoded(SMOOTH[..., 0], "PNG"), ".png", True),
    "one-bit png": (one_bit_png(8, 8), ".png", False),
    "palette png": (encoded(Image.fromarray(SMOOTH).quantize(8), "PNG"), ".png", False),
    "alpha png": (encoded(Image.fromarray(SMOOTH).convert("RGBA"), "PNG"), ".png", False),
    "webp": (encoded(SMOOTH, "WEBP"), ".webp", True),
    "bmp": (encoded(SMOOTH, "BMP"), ".bmp", True),
    "tiff": (encoded(SMOOTH, "TIFF"), ".tif", True),
    "grey tiff": (encoded(SMOOTH[..., 0], "TIFF"), ".tif", True),
    "gif": (encoded(Image.fromarray(SMOOTH), "GIF"), ".gif", False),
    "avif": (encoded(SMOOTH, "AVIF"), ".avif", False),
    "jpeg 2000": (encoded(SMOOTH, "JPEG2000"), ".jp2", False),
    "ppm": (encoded(SMOOTH, "PPM"), ".ppm", False),
    "jpeg with another behind it": (TWO_JPEGS, ".jpg", True),
    "jpeg whose list of others is damaged": (DAMAGED_LIST, ".jpg", True),
}


@pytest.mark.parametrize("name", KINDS)
def test_true_suffix_and_is_plain(name):
    data, suffix, plain = KINDS[name]
    assert (true_suffix(data), is_plain(data)) == (suffix, plain)


def test_read_image_takes_a_png_named_jpg(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(PIXELS, "PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), PIXELS)


@pytest.mark.parametrize(
    "name", ["a b.png", 'it\'s "q".png', "new\nline.png", "кот.png", b"\xff\xe9.png"]
)
def test_read_image_takes_odd_names(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(encoded(PIXELS, "PNG"))
    np.testing.assert_array_equal(read_image(path), PIXELS)


def test_read_image_refuses_bytes_that_changed(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    read_image(path, content_id(PNG))
    path.write_bytes(JPEG)
    with pytest.raises(ImageError, match=r"^changed since it was ingested$"):
        read_image(path, content_id(PNG))


def make_nothing(path: Path) -> None:
    """The file is not there."""


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_dangling(path: Path) -> None:
    path.symlink_to(path.parent / "gone.jpg")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_nothing, "missing"),
        (make_dangling, "missing"),
        (make_loop, "too many levels of symbolic links"),
        (Path.mkdir, "not a regular file"),
        (os.mkfifo, "not a regular file"),  # reading it would wait for ever
    ],
)
def test_read_bytes_says_why_not(tmp_path, make, message):
    make(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match=rf"^{message}$"):
        read_bytes(tmp_path / "x.jpg")


def test_read_bytes_of_a_device_and_of_a_file_as_folder(tmp_path):
    with pytest.raises(ImageError, match=r"^not a regular file$"):
        read_bytes("/dev/zero")
    (tmp_path / "a").touch()
    with pytest.raises(ImageError, match=r"^missing$"):
        read_bytes(tmp_path / "a" / "b.jpg")


def test_read_bytes_without_permission(tmp_path, monkeypatch):
    # root reads whatever the mode says, so the refusal is played
    def refuse(path: Path, flags: int, **_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.jpg").write_bytes(JPEG)
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(ImageError, match=r"^cannot be read: Permission denied$"):
        read_bytes(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg", "x" * 300])
def test_read_bytes_of_impossible_names(name):
    with pytest.raises(ImageError, match=r"^cannot be read: "):
        read_bytes(name)


# -- bombs: little on disk, much in memory ------------------------------------------------------


def float_tiff(side: int) -> bytes:
    return encoded(np.zeros((side, side), np.float32), "TIFF", compression="tiff_adobe_deflate")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")
def test_decoding_takes_no_more_memory_than_was_foreseen(tmp_path):
    side = 4000
    bombs = {"png": one_bit_png(side, side), "tiff": float_tiff(side)}
    for name, data in bombs.items():
        (tmp_path / name).write_bytes(data)
        assert len(data) < 100_000
    script = """if True:
        import sys
        from pathlib import Path
        from autolabel.ops import images
        from autolabel.ops.image_header import open_image
        from autolabel.ops.memory import needed_bytes

        def peak():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

        images.decode(Path(sys.argv[1]).read_bytes())  # what the libraries take
        before = peak()
        for name in sys.argv[2:]:
            data = Path(name).read_bytes()
            needed = needed_bytes(open_image(data))
            assert images.decode(data).shape == (4000, 4000, 3)
            print(name, (peak() - before) / 1e6, needed / 1e6)
            assert 16e6 * 3 < peak() - before < needed < 16e6 * 20
    """
    (tmp_path / "small").write_bytes(encoded(np.zeros((9, 9), np.float32), "TIFF"))
    files = ["small", *bombs]
    command = [sys.executable, "-c", script, *(str(tmp_path / name) for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_what_takes_too_much_memory_is_refused_before_it_is_decoded(monkeypatch, mode):
    data = encoded(Image.new(mode, (2000, 2000)), "TIFF", compression="tiff_adobe_deflate")
    image = open_image(data)
    needed = needed_bytes(image)
    monkeypatch.setattr(image_header, "MAX_BYTES", needed)
    monkeypatch.setattr(images, "upright_rgb", lambda *_: PIXELS)
    decode(data)
    monkeypatch.setattr(image_header, "MAX_BYTES", needed - 1)
    monkeypatch.setattr(images, "upright_rgb", None)
    for look in (decode, is_plain):
        with pytest.raises(ImageError, match=r"^decoding it takes 0\.\d GB, over the limit of 0\."):
            look(data)


def test_a_tile_that_is_larger_than_the_picture_is_counted():
    tags = {256: 32, 257: 32, 258: 32, 259: 8, 262: 1, 277: 1, 339: 3}  # 32 x 32, grey, float
    tags |= {322: 1 << 20, 323: 1 << 20, 324: 8, 325: 4}  # in one tile of 2^20 x 2^20
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    with pytest.raises(ImageError, match=r"^decoding it takes 4398\.\d GB, over the limit of 2\.1"):
        decode(b"II*\0" + struct.pack("<I", 8) + ifd)


def test_threads_share_the_memory(monkeypatch):
    monkeypatch.setattr(images, "_room", Room(1))  # less than any picture takes: one at a time
    inside, most = [0], [0]
    convert = images.upright_rgb

    def watched(*arguments: Any) -> npt.NDArray[np.uint8]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        inside[0] -= 1
        return convert(*arguments)

    monkeypatch.setattr(images, "upright_rgb", watched)
    with ThreadPoolExecutor(8) as pool:
        assert {a.shape for a in pool.map(decode, [PNG] * 16)} == {SMOOTH.shape}
    assert most[0] == 1


def test_who_fails_gives_the_memory_back():
    for _ in range(3):
        with pytest.raises(ImageError):
            decode(JPEG[: len(JPEG) // 2])
    assert images._room._taken == 0


# -- TIFF: compressions and pages ---------------------------------------------------------------

COMPRESSIONS = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_tiff_is_plain_only_where_opencv_reads_it(compression):
    cv2 = pytest.importorskip("cv2", reason="comes with autolabel[train]")
    data = encoded(SMOOTH, "TIFF", compression=compression)
    assert decode(data).shape == SMOOTH.shape
    assert is_plain(data) is (compression not in ("zstd", "lzma"))
    if is_plain(data):
        seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(seen[..., ::-1], decode(data))


def tiff_with_a_broken_page() -> bytes:
    """Two pages, the second of which lies behind the end of the file."""
    page = Image.fromarray(SMOOTH)
    data = bytearray(encoded(page, "TIFF", save_all=True, append_images=[page]))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, len(data) - 3)
    return bytes(data)


def test_the_first_page_is_the_picture_whatever_the_others_are():
    data = tiff_with_a_broken_page()
    np.testing.assert_array_equal(decode(data), SMOOTH)
    assert not is_plain(data)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_libraries_below_write_nothing_to_the_terminal(capfd, compression):
    data = encoded(SMOOTH, "TIFF", compression=compression)
    half, hole = data[: len(data) // 2], bytearray(data)
    hole[20:60] = b"\0" * 40
    huge = encoded(np.array([[np.inf, -3e38], [3e38, np.nan]], np.float32), "TIFF")
    many = bytearray(encoded(SMOOTH, "TIFF"))
    where = many.find(struct.pack("<HHI", 277, 3, 1))
    many[where + 8] = 200  # samples per pixel
    for damaged in (half, bytes(hole), huge, bytes(many)):
        with contextlib.suppress(ImageError):
            decode(damaged)
    assert capfd.readouterr() == ("", "")
