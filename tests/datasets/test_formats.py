"""Every registered format keeps the contract, and one of another package; faulty ones do not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.config import ExportConfig
from autolabel.datasets import ground_truth
from autolabel.datasets.base import (
    Candidate,
    Carries,
    ExportImage,
    Format,
    WriteOptions,
    Written,
)
from autolabel.datasets.formats import FORMATS, written
from autolabel.errors import AutolabelError
from autolabel.ops.masks import boxes, encode
from autolabel.testing import ContractError, check_format, check_round_trip, dataset_format
from autolabel.testing.dataset_format import CLASSES, FORMAT_CHECKS
from autolabel.types import Objects, Record
from tests.conftest import SAMPLE, Run, make_photos
from tests.datasets.conftest import Fixture
from tests.datasets.toy_format import TOY
from tests.plugins import install, installed

BOTH_WAYS = [name for name, one in FORMATS.items() if one.reader and one.writer]


@pytest.mark.parametrize("check", FORMAT_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_the_contract(name: str, check: Callable[[Format], None]) -> None:
    check(FORMATS[name])


@st.composite
def shapes(draw: st.DrawFn, width: int, height: int) -> npt.NDArray[np.bool_]:
    """A mask with parts and holes, of one pixel, along the border, or none."""
    kind = draw(st.sampled_from(["blobs", "blobs", "pixel", "frame", "none"]))
    mask = np.zeros((height, width), bool)
    if kind == "blobs":
        noise = np.random.default_rng(draw(st.integers(0, 99)))
        blobs = noise.random((-(-height // 7), -(-width // 7))) < draw(st.floats(0.2, 1))
        mask = np.kron(blobs, np.ones((7, 7), bool))[:height, :width]
    elif kind == "pixel":
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    elif kind == "frame":
        mask[[0, -1], :] = mask[:, [0, -1]] = True
    return mask


@st.composite
def images(draw: st.DrawFn, masks: bool) -> Record:
    width, height = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    n = draw(st.integers(0, 4))
    side = st.integers(0, 1000)
    corners = np.array([draw(st.tuples(side, side, side, side)) for _ in range(n)]).reshape(n, 2, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    xyxy = np.concatenate([low, high + (low == high)], axis=1) / 1001
    xyxy = (xyxy * [width, height, width, height]).astype(np.float32)
    drawn: list[bytes | None] = [None] * n
    for i in range(n if masks else 0):
        mask = draw(shapes(width, height))
        if mask.any():
            drawn[i] = encode(mask[None])[0]
            xyxy[i] = boxes([drawn[i] or b""], height, width)[0]
    labels = draw(st.lists(st.sampled_from(CLASSES[:-1]), min_size=n, max_size=n))
    scores = draw(st.lists(st.floats(0, 1, width=32), min_size=n, max_size=n))
    objects = Objects.create(labels, scores, xyxy, mask=drawn)
    return Record("", "", width, height, objects=objects)


@pytest.mark.parametrize("name", BOTH_WAYS)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_back(name: str, data: st.DataObject) -> None:
    one = FORMATS[name]
    assert one.writer is not None
    masks = one.writer.carries.masks and data.draw(st.booleans())
    given_images = data.draw(st.lists(images(masks), min_size=1, max_size=4))
    check_round_trip(one, given_images, masks=masks)


PIECES = [b"", b"nan", b"-1", b"1e999", b"9" * 20, b'"', b",", b"\n", b"[", b"]", b"{", b"}",
          b"<x>", b"</", b"null", b"\xff", b"\x00", b":", b" ", b"'"]  # fmt: skip


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """A dataset in each format, and the files of it that are not images."""
    made = {}
    for name in BOTH_WAYS:
        one, folder = FORMATS[name], tmp_path_factory.mktemp(name)
        assert one.writer is not None
        options = WriteOptions(CLASSES, one.writer.carries.masks)
        images = dataset_format.odd_images()[1:4]
        splits = dataset_format._in_splits(images, one.writer)
        made[name] = folder, dataset_format._write(one.writer, folder, splits, options).files
    return made


@pytest.mark.parametrize("name", BOTH_WAYS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_spoilt_file_is_read_or_is_one_error(
    name: str, data: st.DataObject, datasets: dict[str, tuple[Path, list[str]]]
) -> None:
    folder, files = datasets[name]
    file = folder / data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    spoilt = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoilt)))
        spoilt[at : at + data.draw(st.integers(0, 12))] = data.draw(st.sampled_from(PIECES))
    try:
        file.write_bytes(spoilt)
        for named in (folder, file):
            with contextlib.suppress(AutolabelError):
                ground_truth.read_ground_truth(named)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_ten_thousand_objects_are_read_back(name: str) -> None:
    every = np.arange(10_000)
    low = np.stack([every % 100, every // 100], axis=1) * 4.0
    labels = [CLASSES[i % 8] for i in every]
    crowd = Objects.create(labels, every / 10_000, np.concatenate([low, low + 3.25], axis=1))
    check_round_trip(FORMATS[name], [Record("", "", 400, 400, objects=crowd)], masks=False)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_the_sample_is_read_back(name: str) -> None:
    truth = ground_truth.read_ground_truth(SAMPLE / "blood_cells" / "validation")
    to = dict(zip(truth.names, CLASSES, strict=False))
    given_images = []
    for one in truth.records:
        labels = [to[label] for label in one.objects.label]
        objects = Objects.create(labels, one.objects.score, one.objects.xyxy)
        given_images.append(Record("", "", one.width, one.height, objects=objects))
    assert sum(len(record.objects) for record in given_images) > 500
    check_round_trip(FORMATS[name], given_images, masks=False)


@pytest.mark.parametrize("name", ["coco", "csv"])
@settings(max_examples=20, deadline=None)
@given(record=images(True))
def test_rle_is_read_back_bit_for_bit(name: str, record: Record) -> None:
    one = FORMATS[name]
    assert one.writer is not None
    with TemporaryDirectory() as folder:
        image = ExportImage(record, "images/train", "a", ".png")
        one.writer.write(Path(folder), {"train": [image]}, WriteOptions(CLASSES, True))
        (back,) = ground_truth.read_ground_truth(Path(folder)).records
    assert back.objects.mask.tolist() == record.objects.mask.tolist()


# -- a format of another package ---------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[None]:
    """A package of one file, which is installed."""
    code = Path(__file__).with_name("toy_format.py").read_text("utf-8")
    install(tmp_path, "toys", code, {"autolabel.formats": {"toy": "toys:TOY"}})
    with installed(tmp_path):
        yield


def test_a_format_of_one_file_keeps_the_contract() -> None:
    check_format(TOY)


@pytest.mark.usefixtures("toy")
def test_the_commands_write_it_and_read_it_back(tmp_path: Path, run: Run) -> None:
    made = Fixture(tmp_path, make_photos(tmp_path / "photos", 5))
    made.label()
    out, ws = tmp_path / "out", made.workspace.path
    done = run("export", ws, "--format", "toy", "--out", out, "--val-share", 0.4, "--json").json()
    assert (done["images"], done["objects"], done["task"]) == (5, 8, "detect")
    assert done["lost"] == {"rejected": 4}
    assert len(json.loads((out / "toy.json").read_text())["images"]) == 5
    assert len(list(out.glob("pictures/val/*.png"))) == 2
    (row,) = run("status", ws, "--json").json()["exports"]
    assert (row["format"], row["state"], row["images"]) == ("toy", "current", 5)
    # Written again, it replaces itself; another format does not.
    assert run("export", ws, "--format", "toy", "--out", out).status == 0
    assert not list(out.glob("pictures/val/*"))
    assert run("export", ws, "--format", "coco", "--out", out).status == 1

    for named in (out, out / "toy.json"):
        truth = ground_truth.read_ground_truth(named)
        assert sorted(r.image_id or "" for r in truth.records) == sorted(made.ids())
        with pytest.raises(AutolabelError, match="exported by autolabel"):
            ground_truth.read_hand_labels(named)
    pool = make_photos(tmp_path / "pool", 6)
    done = run("ingest", pool[0].parent, "-w", tmp_path / "new", "--holdout", out / "toy.json")
    assert done.status == 0, done.err
    assert "5 held-out photos" in done.err


@pytest.mark.usefixtures("toy")
def test_it_is_named_where_formats_are_named(tmp_path: Path, run: Run) -> None:
    assert written() == (*written(plugins=False), "toy")
    assert ExportConfig(format="toy", out="x").format == "toy"
    wrong = run("export", tmp_path, "--format", "toys", "--out", "x")
    assert wrong.status == 2
    assert "'toy'" in wrong.err
    with pytest.raises(AutolabelError) as raised:
        ground_truth.read_ground_truth(tmp_path / "nowhere")
    assert "toy.json" in raised.value.hint


@pytest.mark.usefixtures("toy")
def test_masks_that_it_does_not_hold_are_counted(tmp_path: Path, masked: Fixture) -> None:
    done = masked.export("toy")
    assert (done.task, done.lost["masks"]) == ("detect", 10)
    with pytest.raises(AutolabelError, match="holds no masks") as raised:
        masked.export("toy", task="segment")
    assert "--task detect" in raised.value.hint


def test_without_the_package_its_export_is_left_alone(tmp_path: Path, made: Fixture) -> None:
    (tmp_path / "package").mkdir()
    code = Path(__file__).with_name("toy_format.py").read_text("utf-8")
    install(tmp_path / "package", "toys", code, {"autolabel.formats": {"toy": "toys:TOY"}})
    with installed(tmp_path / "package"):
        made.export("toy")
    before = made.files()
    with pytest.raises(AutolabelError, match=r"autolabel-export\.json"):
        made.export("coco")
    assert made.files() == before
    assert written() == written(plugins=False)


# -- faults ------------------------------------------------------------------------------------


def writes(change: Callable[[dict[str, Any]], None]) -> Format:
    """The format, whose file is changed before it is written."""

    def write(folder: Path, splits: Any, options: Any) -> Written:
        done: Written = TOY.writer.write(folder, splits, options)
        data = json.loads((folder / "toy.json").read_text("utf-8"))
        change(data)
        (folder / "toy.json").write_text(json.dumps(data), "utf-8")
        return done

    return replace(TOY, writer=replace(TOY.writer, write=write))


def rows(change: Callable[[list[Any]], Any]) -> Format:
    def edit(data: dict[str, Any]) -> None:
        data["images"] = {name: [change(r) for r in old] for name, old in data["images"].items()}

    return writes(edit)


def fails_on_damage(path: Path) -> Iterator[Candidate]:
    yield Candidate(path / "toy.json", lambda: json.loads((path / "toy.json").read_text())["x"])


def forgets_to_list(folder: Path, splits: Any, options: Any) -> Written:
    (folder / "more.txt").write_text("")
    return TOY.writer.write(folder, splits, options)


def sure_of_all(path: Path) -> Iterator[Candidate]:
    yield Candidate(path, lambda: ((), []))


def empties(data: dict[str, Any]) -> None:
    data["images"] = {name: old for name, old in data["images"].items() if old}


FAULTS = {
    "other class": (rows(lambda r: [CLASSES[8], *r[1:]]), "other labels"),
    "class is not listed": (writes(lambda d: d["classes"].clear()), "not among the classes"),
    "box moves": (rows(lambda r: [*r[:5], r[5] + 0.5]), "moves"),
    "xywh": (rows(lambda r: [*r[:4], r[4] - r[2], r[5] - r[3]]), "is not read back"),
    "score": (rows(lambda r: [r[0], 1.0, *r[2:]]), "other scores"),
    "images without objects": (writes(empties), "is not read back"),
    "a file is not listed": (
        replace(TOY, writer=replace(TOY.writer, write=forgets_to_list)),
        "lists",
    ),
    "item is not named": (replace(TOY, writer=replace(TOY.writer, items=("pictures/",))), "items"),
    "sure of all": (replace(TOY, reader=replace(TOY.reader, find=sure_of_all)), "takes"),
    "damage": (replace(TOY, reader=replace(TOY.reader, find=fails_on_damage)), "KeyError"),
    "ending": (replace(TOY, reader=replace(TOY.reader, suffixes=("json",))), "ending 'json'"),
    "no title": (replace(TOY, title=" "), "no title"),
    "nothing": (Format("Nothing"), "neither reads nor writes"),
    "masks": (
        replace(
            TOY,
            reader=replace(TOY.reader, carries=Carries(masks=True, scores=True)),
            writer=replace(TOY.writer, carries=Carries(masks=True, scores=True)),
        ),
        "is lost",
    ),
}


@pytest.mark.parametrize(("faulty", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_caught(faulty: Format, said: str) -> None:
    caught = []
    for check in FORMAT_CHECKS:
        try:
            check(faulty)
        except (ContractError, KeyError) as e:
            caught.append(f"{type(e).__name__}: {e}")
    assert any(said in line for line in caught), caught


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("TOY = 3", "not a Format"),
        ("from autolabel.datasets.base import Format\nTOY = Format('x')", "neither reads nor"),
        ("import autolabel.datasets.coco as c\nfrom dataclasses import replace\n"
         "TOY = replace(c.COCO, writer=replace(c.COCO.writer, items=('../',)))", "'../' cannot be"),
    ],
)  # fmt: skip
def test_a_package_that_brings_none_costs_its_name_alone(
    tmp_path: Path, code: str, said: str
) -> None:
    install(tmp_path, "toys", code, {"autolabel.formats": {"toy": "toys:TOY"}})
    with installed(tmp_path):
        assert "toy" not in written()
        (line,) = FORMATS.plugins.problems
    assert said in line


def test_help_names_the_formats_without_loading_any() -> None:
    code = (
        "import sys, autolabel.cli\n"
        "try:\n    autolabel.cli.main(['export', '--help'])\n"
        "except SystemExit:\n    print(sorted({'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    wide = {**os.environ, "COLUMNS": "300"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=wide)
    assert "|".join(written(plugins=False)) in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_table_says_which_of_our_own_are_written() -> None:
    ours = [name for name in FORMATS.built_in if FORMATS[name].writer is not None]
    assert ours == list(written(plugins=False))
