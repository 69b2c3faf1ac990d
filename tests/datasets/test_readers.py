"""Every export, read by libraries that are not ours: the same classes, boxes and masks.

See `tests/readers/README.md`. The table of formats and readers is printed.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from autolabel.datasets.base import ExportImage, Splits, WriteOptions
from autolabel.datasets.formats import writer_of, written
from autolabel.ops.masks import boxes, decode, encode
from autolabel.types import Objects, Record
from tests.conftest import REPO, SAMPLE

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 640, 480
NAMES = ("platelet", "чашка", "red blood cell", "never seen")
SPLITS = {
    "train": ("BloodImage_00000", "BloodImage_00002"),
    "val": ("BloodImage_00014",),
    "test": ("BloodImage_00017",),
}
EMPTY = "BloodImage_00002"


class Cell(NamedTuple):
    """How a reader takes a format.

    `boxes` and `masks`: whether it reads them of it. `least`: IoU of a mask with what it makes of
    it. `within_px`: of a box. `odd`: what it does otherwise, by its own convention.
    """

    boxes: bool = True
    masks: bool = False
    least: float = 1.0
    within_px: float = 0.02
    odd: str = ""


OUTLINE = 0.9
"""Others fill polygons by other rules, the border's pixels in or out."""
DEVKIT = "but left and top less 1 px, as of who counts from 1"
WHOLE = "but in whole pixels"

CELLS: dict[str, dict[str, Cell]] = {
    "coco": {
        "pycocotools": Cell(masks=True),
        "supervision": Cell(masks=True),
        "datumaro": Cell(masks=True),
        "fiftyone": Cell(masks=True),
    },
    "yolo": {
        "ultralytics": Cell(masks=True, least=OUTLINE),
        "supervision": Cell(masks=True, least=OUTLINE),
        "datumaro": Cell(),
        "fiftyone": Cell(),
    },
    "voc": {
        "supervision": Cell(within_px=1.01, odd=DEVKIT),
        "datumaro": Cell(),
        "fiftyone": Cell(within_px=1, odd=WHOLE),
    },
    "csv": {"pandas": Cell(masks=True)},
    "labelme": {
        "labelme": Cell(masks=True, least=OUTLINE),
        "supervision": Cell(masks=True, least=OUTLINE),
    },
    "label-studio": {"label-studio-sdk": Cell(masks=True)},
    "cvat": {
        "datumaro": Cell(masks=True),
        "cvat-sdk": Cell(boxes=False, masks=True),
        "fiftyone": Cell(within_px=1, odd=WHOLE),
    },
    "fiftyone": {"fiftyone": Cell(masks=True)},
}
MODULES = {"cvat-sdk": "cvat_sdk", "label-studio-sdk": "label_studio_sdk"}


def interpreter(reader: str) -> str | None:
    """The Python that has the library, if any."""
    given = os.environ.get("AUTOLABEL_READERS")
    own = Path(given).expanduser() / reader / "bin" / "python" if given else None
    if own is not None and own.exists():
        return str(own)
    there = importlib.util.find_spec(MODULES.get(reader, reader))
    return sys.executable if there else None


def blobs() -> npt.NDArray[np.bool_]:
    """A ring with a hole and a second part; a disc; a blob at the border; a small one."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    ring = (np.hypot(xs - 200, ys - 180) < 120) & (np.hypot(xs - 200, ys - 180) > 60)
    ring[380:440, 240:330] = True
    border = (xs < 90) & (ys > 400) & (xs + ys > 440)
    return np.stack(
        [ring, np.hypot(xs - 480, ys - 200) < 90, border, np.hypot(xs - 600, ys - 440) < 20]
    )


def records(masks: bool) -> dict[str, Record]:
    """Four photos: one has every mask or box at odd places, one nothing."""
    encoded = encode(blobs())
    around = boxes(encoded, HEIGHT, WIDTH)
    odd = np.array([[0, 0, 640, 480], [0.25, 10.5, 33.75, 47.125], [600, 400, 640, 480]])
    odd = np.concatenate([odd, [[9, 20, 10, 21]]]).astype(np.float32)
    labels = ["чашка", "red blood cell", "platelet", "red blood cell"]
    scores = [0.9, 0.35, 0.5, 1]
    full = Objects.create(labels, scores, around if masks else odd, mask=encoded if masks else None)
    some = {"BloodImage_00014": full[1:3], "BloodImage_00017": full[:1], EMPTY: Objects.empty()}
    stems = [stem for split in SPLITS.values() for stem in split]
    return {stem: Record("", "", WIDTH, HEIGHT, objects=some.get(stem, full)) for stem in stems}


def export(format_name: str, folder: Path, masks: bool) -> None:
    """Write the photos of the sample with those labels, in three splits."""
    writer, given = writer_of(format_name), records(masks)
    splits: Splits = {
        split: [ExportImage(given[s], writer.images.format(split=split), s, ".jpg") for s in stems]
        for split, stems in SPLITS.items()
    }
    for image in (image for images in splits.values() for image in images):
        target = folder / image.path
        target.parent.mkdir(parents=True, exist_ok=True)
        photo = SAMPLE / "blood_cells/unlabeled" / image.file_name
        target.write_bytes(photo.read_bytes())
    writer.write(folder, splits, WriteOptions(NAMES, masks))


def ask(python: str, reader: str, format_name: str, folder: Path, task: str) -> Any:
    """What the reader finds in a folder."""
    script = REPO / "tests/readers" / f"read_{reader.replace('-', '_')}.py"
    env = {**os.environ, "YOLO_CONFIG_DIR": str(folder.parent), "YOLO_OFFLINE": "1"}
    env |= {"QT_QPA_PLATFORM": "offscreen", "FIFTYONE_DO_NOT_TRACK": "true"}
    if python != sys.executable:
        del env["PYTHONPATH"]
    command = [python, str(script), format_name, str(folder), task]
    done = subprocess.run(
        command, env=env, cwd=folder.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr.strip()[-1500:])
    return json.loads(done.stdout.splitlines()[-1])


def compare(cell: Cell, seen: Any, masks: bool) -> None:
    """Fail where an image, class, box or mask is not what was written."""
    used = set(NAMES[:3])
    assert used <= set(seen["names"]) <= set(NAMES) | {"background"}, seen["names"]
    for stem, record in records(masks).items():
        rows = seen["images"].get(f"{stem}.jpg")
        assert rows is not None, f"{stem} is not there"
        assert len(rows) == len(record.objects), f"{stem}: {len(rows)} objects"
        for i in range(len(record.objects)):
            one = record.objects[i : i + 1]
            found = [row for row in rows if fits(cell, one, row, masks)]
            assert found, f"{stem}: {one.label[0]} {one.xyxy.tolist()}, {[r[:5] for r in rows]}"
            rows.remove(found[0])


def fits(cell: Cell, one: Objects, row: list[Any], masks: bool) -> bool:
    label, *corners, bits = row
    limit = max(cell.within_px, 1.01 if masks else 0)
    if label != one.label[0] or np.abs(np.array(corners) - one.xyxy[0]).max() > limit:
        return False
    if not masks:
        return True
    pixels = np.unpackbits(np.frombuffer(base64.b64decode(bits), np.uint8))
    mask = pixels[: HEIGHT * WIDTH].reshape(HEIGHT, WIDTH).astype(bool)
    (expected,) = decode([one.mask[0]], HEIGHT, WIDTH)
    return bool((mask & expected).sum() / (mask | expected).sum() >= cell.least)


def test_every_export_is_read_by_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(CELLS) == set(written(plugins=False))
    table, wrong = [], []
    for format_name, cells in CELLS.items():
        for reader, cell in cells.items():
            python, words = interpreter(reader), []
            for masks in (False, True):
                if python is None or not (cell.masks if masks else cell.boxes):
                    continue
                task = "masks" if masks else "boxes"
                folder = tmp_path / format_name / task
                if not folder.exists():
                    folder.mkdir(parents=True)
                    export(format_name, folder, masks)
                try:
                    compare(cell, ask(python, reader, format_name, folder, task), masks)
                    words.append(task if cell.least == 1 or not masks else f"{task} (outlines)")
                except AssertionError as e:
                    words.append(f"{task} WRONG")
                    wrong.append(f"{format_name}, {reader}, {task}: {e}")
            words += [cell.odd] if words and cell.odd else []
            table.append((format_name, reader, ", ".join(words) or "not installed"))
    lines = [("format", "reader", "the same"), *table]
    with capsys.disabled():
        sys.stdout.write("\n\n" + "".join("{:14}{:18}{}\n".format(*line) for line in lines))
    assert not wrong, "\n\n".join(wrong)
