"""What every dataset format must do: what is written is read back, and nothing else is touched."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from autolabel.datasets.base import (
    Candidate,
    Carries,
    ExportImage,
    Format,
    Reader,
    Splits,
    WriteOptions,
    Writer,
    Written,
)
from autolabel.datasets.formats import FORMATS
from autolabel.datasets.labelled import GroundTruthImage
from autolabel.errors import AutolabelError
from autolabel.ops.masks import boxes, clean, decode, encode
from autolabel.testing.expect import ContractError, expect
from autolabel.types import Objects, Record

CLASSES = ("red blood cell", "чашка", "don't", "a, b: c", "yes", "123", "#1", '<x> & "y"', "none")
"""Names that files must quote; of the last one there is no object."""

STEMS = ("0001", "снимок 1", "it's", "a.b", "-x", "_con", "100%", "x,y", "[z]", "images")
WITHIN_PX = 0.02
OUTLINED_WITHIN_PX = 1.0
"""How far a box may move where its mask stands for it."""


def check_format(one: Format) -> None:
    """Check a format against everything that `autolabel.datasets.base.Format` promises.

    Args:
        one: what the package registers. What it writes it must read, where it does both.

    Raises:
        ContractError: a promise is not kept.
    """
    for check in FORMAT_CHECKS:
        check(one)


def check_round_trip(one: Format, images: Sequence[Record], *, masks: bool) -> None:
    """Check that a dataset which is written is read back, within what the format carries.

    Args:
        one: a format that reads and writes.
        images: whose boxes lie within them and have an area, labels from `CLASSES`; with `masks`,
            a box that has a mask is the box around it. They go to the train, val and test splits.
        masks: whether masks are written; only for a format that carries them.

    Raises:
        ContractError: an image, a class, box, score or mask is not what it was, or a file is not
            where it should be.
    """
    if one.reader is None or one.writer is None:
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        splits = _in_splits(images, one.writer)
        written = _write(one.writer, folder, splits, WriteOptions(CLASSES, masks))
        _as_listed(folder, splits, written, one.writer)
        with TemporaryDirectory() as again:
            _write(one.writer, Path(again), splits, WriteOptions(CLASSES, masks))
            for file in written.files:
                same = (folder / file).read_bytes() == (Path(again) / file).read_bytes()
                expect(same, f"{file} is not the same when it is written again")
        try:
            names, found = _read(_sure(one.reader, folder))
        except AutolabelError as e:
            raise ContractError(f"what it wrote is not read back: {e.message}") from e
        for image in found:
            used = set(image.objects.label) <= set(names)
            expect(used, f"{image.name} has labels that are not among the classes {names}")
        _compare(splits, found, one.writer.carries, one.reader.carries, folder, masks)


def says_what_it_is(one: Format) -> None:
    """It has a title, reads or writes, and names its files as the rest expects."""
    expect(one.title.strip(), "it has no title")
    expect(one.reader or one.writer, "it neither reads nor writes")
    if one.reader is not None:
        expect(one.reader.looks.strip(), "it does not say what its labels look like")
        for suffix in one.reader.suffixes:
            good = re.fullmatch(r"\.[^\W_A-Z]+", suffix)
            expect(good, f"the ending {suffix!r} is not a dot and small letters")
    if one.writer is not None:
        top = f"{one.writer.images.split('/')[0]}/"
        expect(top in one.writer.items, f"{top} is not among its items {one.writer.items}")
        hidden = [item for item in one.writer.items if item.startswith(".")]
        expect(not hidden, f"its items {hidden} are hidden")


def strangers(one: Format) -> None:
    """It is not sure of what is of another format, and no other format is sure of what it wrote."""
    if one.reader is not None:
        with TemporaryDirectory() as name:
            for content in ("", "[]", "{}", "<x/>", "names: []", "a,b\n1,2\n"):
                file = Path(name) / f"notes{next(iter(one.reader.suffixes), '.txt')}"
                file.write_text(content, "utf-8")
                with contextlib.suppress(AutolabelError):  # what cannot be read at all may say so
                    expect(not _sure(one.reader, Path(name)), f"it takes {content!r} for labels")
    if one.writer is None:
        return
    with TemporaryDirectory() as name:
        splits = _in_splits(odd_images(), one.writer)
        _write(one.writer, Path(name), splits, WriteOptions(CLASSES, False))
        others = {k: f.reader for k, f in FORMATS.items() if f.reader and f.title != one.title}
        for other, reader in others.items():
            taken = _sure(reader, Path(name))
            expect(not taken, f"{other} takes what it wrote for its own: {taken}")


def odd_datasets(one: Format) -> None:
    """Odd names and sizes, boxes at the border, many objects and none come back."""
    check_round_trip(one, odd_images(), masks=False)
    bare = [replace(record, objects=Objects.empty()) for record in odd_images()]
    if one.writer is not None and one.writer.carries.empty_images:
        check_round_trip(one, bare, masks=False)
    every = np.arange(1000)
    xyxy = np.stack([every % 60, every // 60, every % 60 + 2.5, every // 60 + 3.25], axis=1)
    crowd = Objects.create([CLASSES[i % 8] for i in every], every / 1000, xyxy)
    check_round_trip(one, [Record("", "", 64, 48, objects=crowd)], masks=False)


def odd_masks(one: Format) -> None:
    """Masks with holes and parts, of one pixel, of the whole image, and boxes without one."""
    if one.writer is None or not one.writer.carries.masks:
        return
    ys, xs = np.mgrid[:48, :64]
    distance = np.hypot(xs - 24, ys - 24)
    ring = (distance < 20) & (distance > 10)
    ring[40:44, 56:60] = True
    shapes = [ring, distance < 15, (xs == 3) & (ys == 7), np.ones((48, 64), bool)]
    drawn = encode(np.stack(shapes))
    around = [*boxes(drawn, 48, 64).tolist(), [1, 1, 20, 9]]
    objects = Objects.create(CLASSES[:5], np.linspace(0.1, 1, 5), around, mask=[*drawn, None])
    check_round_trip(one, [Record("", "", 64, 48, objects=objects)] * 3, masks=True)


def damage(one: Format) -> None:
    """Files that are cut, emptied or noise are read, or are an `AutolabelError`."""
    if one.reader is None or one.writer is None:
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        splits = _in_splits(odd_images(), one.writer)
        written = _write(one.writer, folder, splits, WriteOptions(CLASSES, False))
        for file in written.files[:3]:
            whole = (folder / file).read_bytes()
            for bad in (b"", whole[: len(whole) // 2], b"\x00\xff" * 50, whole.swapcase()):
                (folder / file).write_bytes(bad)
                try:
                    _read(list(one.reader.find(folder)))
                except AutolabelError:
                    continue
                except Exception as e:
                    expect(False, f"a damaged {file} is {type(e).__name__}: {e}")
            (folder / file).write_bytes(whole)


def a_signature(one: Format) -> None:
    """What it writes says who wrote it, where the format has a place for that."""
    if one.writer is None or one.writer.signature is None:
        return
    with TemporaryDirectory() as name:
        splits = _in_splits(odd_images(), one.writer)
        written = _write(one.writer, Path(name), splits, WriteOptions(CLASSES, False))
        pattern = one.writer.signature.pattern
        signed = [f for f in written.files if pattern.search((Path(name) / f).read_bytes())]
        expect(signed, "no file has the signature")


FORMAT_CHECKS: tuple[Callable[[Format], None], ...] = (
    says_what_it_is,
    odd_datasets,
    odd_masks,
    strangers,
    damage,
    a_signature,
)
"""Each raises `ContractError`."""


def odd_images() -> list[Record]:
    """Return images of odd sizes with objects of every class but one, and some without any."""
    records = []
    for i, (width, height) in enumerate([(64, 48), (1, 1), (200, 3), (7, 90)] * 2 + [(64, 48)] * 2):
        corners = [[0, 0, 1, 1], [0, 0, 0.25, 0.5], [0.5, 0.125, 0.75, 1], [0, 0, 1, 1]]
        labels = [CLASSES[(2 * i + j) % 8] for j in range(4)]
        xyxy = np.array(corners) * [width, height, width, height]
        objects = Objects.create(labels, [0.125, 1, 0.35, 0], xyxy)
        records.append(Record("", "", width, height, objects=objects if i % 4 else Objects.empty()))
    return records


def _in_splits(images: Iterable[Record], writer: Writer) -> Splits:
    """Return the images with odd names, in the splits train, val and test."""
    splits: dict[str, list[ExportImage]] = {"train": []}
    for i, record in enumerate(images):
        split = ("train", "train", "val", "test")[i % 4]
        stem = STEMS[i] if i < len(STEMS) else f"{i:04d}"
        folder = writer.images.format(split=split)
        splits.setdefault(split, []).append(ExportImage(record, folder, stem, ".png"))
    return splits


def _write(writer: Writer, folder: Path, splits: Splits, options: WriteOptions) -> Written:
    for images in splits.values():
        for image in images:
            path = folder / image.path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (image.record.width, image.record.height)).save(path)
    return writer.write(folder, splits, options)


def _as_listed(folder: Path, splits: Splits, written: Written, writer: Writer) -> None:
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    images = {image.path for one in splits.values() for image in one}
    listed = set(written.files)
    expect(len(listed) == len(written.files), "a file is listed twice")
    expect(listed == there - images, f"it wrote {there - images} and lists {listed}")
    tops = {f"{f.split('/')[0]}/" if "/" in f else f for f in listed}
    expect(tops <= set(writer.items), f"{tops} are not among its items {writer.items}")


def _sure(reader: Reader, folder: Path) -> list[Candidate]:
    return [candidate for candidate in reader.find(folder) if candidate.sure]


def _read(candidates: Iterable[Candidate]) -> tuple[set[str], list[GroundTruthImage]]:
    names: set[str] = set()
    images: list[GroundTruthImage] = []
    for candidate in candidates:
        some, found = candidate.read()
        names |= set(some)
        images += found
    return names, images


def _compare(
    splits: Splits,
    found: Sequence[GroundTruthImage],
    written: Carries,
    read: Carries,
    folder: Path,
    masks: bool,
) -> None:
    by_path = {image.path: image for image in found}
    expect(len(by_path) == len(found), "an image is read twice, or was not found")
    for image in (image for images in splits.values() for image in images):
        path, objects = folder / image.path, image.record.objects
        if path not in by_path and not len(objects) and not written.empty_images:
            continue
        expect(path in by_path, f"{image.path} is not read back")
        back = by_path[path]
        size = (image.record.width, image.record.height)
        expect((back.width, back.height) == size, f"{image.path} has another size")
        same = back.objects.label.tolist() == objects.label.tolist()
        expect(same, f"{image.path} has other labels, or in another order")
        if written.scores and read.scores:
            near = np.abs(back.objects.score - objects.score) < 1e-3
            expect(near.all(), f"{image.path} has other scores")
        moved = np.abs(back.objects.xyxy - objects.xyxy)
        drawn = np.array([masks and m is not None for m in objects.mask], bool)
        limit = np.where(drawn, OUTLINED_WITHIN_PX, WITHIN_PX + 1e-5 * max(size))
        expect(
            (moved <= limit[:, None]).all(),
            f"a box of {image.path} moves by {moved.max(initial=0)} px",
        )
        if masks and written.masks and read.masks:
            _compare_masks(image, back, written.holes and read.holes)


def _compare_masks(image: ExportImage, back: GroundTruthImage, holes: bool) -> None:
    height, width = image.record.height, image.record.width
    pairs = zip(image.record.objects.mask, back.objects.mask, strict=True)
    for given, found in pairs:
        if given is None:
            continue
        expect(found is not None, f"a mask of {image.path} is lost")
        first, second = decode([given, found or b""], height, width)
        if not holes:
            first = clean(first, 0, height * width)
        differ, union = int((first ^ second).sum()), int((first | second).sum())
        good = differ <= max(4, union // 5)
        expect(good, f"a mask of {image.path} differs in {differ} of {union} pixels")
