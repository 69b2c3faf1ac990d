"""Hand-label files that are damaged or meant to harm, through evaluate and ingest --holdout."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from tests.attack.forked import Forked, contents
from tests.attack.tampering import IN_PLACE, VALUES, places, put
from tests.conftest import make_photos

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ATTACK_SEED", "0"))
COUNT = int(os.environ.get("ATTACK_LABELS", "120"))
"""Cases of each kind."""

Spoil = Callable[[Path], None]


def _rle() -> dict[str, Any]:
    shape = np.zeros((64, 96), np.uint8, order="F")
    shape[10:40, 10:60] = 1
    coded = rle.encode(shape)
    return {"size": [64, 96], "counts": coded["counts"].decode()}


def coco_data() -> dict[str, Any]:
    """Two photos with boxes, polygons and RLE."""
    things = [
        {"segmentation": _rle()},
        {"segmentation": {"size": [64, 96], "counts": [970, 50, 5124]}},
        {"segmentation": [[1, 1, 20, 1, 20, 20]]},
        {"iscrowd": 1, "score": 0.5},
    ]
    return {
        "images": [
            {"id": i, "file_name": f"000{i}.png", "width": 96, "height": 64} for i in range(2)
        ],
        "annotations": [
            {"id": i, "image_id": i % 2, "category_id": 1, "bbox": [10, 10, 50, 30], **thing}
            for i, thing in enumerate(things)
        ],
        "categories": [{"id": 1, "name": "platelet"}, {"id": 2, "name": "red blood cell"}],
    }


def coco_set(folder: Path) -> Path:
    make_photos(folder, 2)
    (folder / "annotations.json").write_text(json.dumps(coco_data()), "utf-8")
    return folder / "annotations.json"


COUNTS = [
    "", "0", "P", "PPPPPPPPPP", "ooooooooooooo", "\x00", "é", "\ud800", "a" * 100_000, [], [6144],
    [0] * 1000, [-1, 6145], [6143], [6145], [10**400], [1.5], [None], [[1]], "1" * 6144, [2**32, 1],
    {"a": 1}, 7, True,
]  # fmt: skip


def coco_cases(chosen: random.Random) -> list[tuple[str, Spoil]]:
    def spoilt(edit: Callable[[Any], Any]) -> Spoil:
        def spoil(folder: Path) -> None:
            file = folder / "annotations.json"
            file.write_text(json.dumps(edit(json.loads(file.read_text("utf-8")))), "utf-8")

        return spoil

    def counts(value: Any) -> Spoil:
        return spoilt(lambda d: put(d, ("annotations", 0, "segmentation", "counts"), value))

    good = _rle()["counts"]
    cut = [good[:-1], good[:-2], good + "1", good[:-1] + chr(ord(good[-1]) + 1)]
    cases = [(f"counts {str(v)[:40]!r}", counts(v)) for v in [*COUNTS, *cut]]
    sizes = ([0, 0], [96, 64], [10**9, 10**9], [64], "x", [64.0, 96.0])
    cases += [
        (f"size {s}", spoilt(lambda d, s=s: put(d, ("annotations", 0, "segmentation", "size"), s)))
        for s in sizes
    ]
    for side in (10**5, 999_999, 10**18):
        large = {"id": 0, "file_name": "0000.png", "width": side, "height": side}
        cases.append((f"image of {side}", spoilt(lambda d, i=large: put(d, ("images", 0), i))))
    cases.append(("an image six times", spoilt(lambda d: {**d, "images": d["images"] * 6})))
    probe = {"images": [], "annotations": [], "categories": []}
    cases.append(("nothing", spoilt(lambda d: probe)))
    for at in places(coco_data()):
        for value in chosen.sample(VALUES, 4):
            shown = f"{'.'.join(map(str, at))} = {str(value)[:30]!r}"
            cases.append((shown, spoilt(lambda d, at=at, value=value: put(d, at, value))))
    return cases


LAUGHS = "".join(
    f"{c}: &{c} [{','.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdefgh", "bcdefghi", strict=True)
)
YAMLS = [
    "", "names", "names: 5", "names: []", "names: {0: a}", "names: {1: a, 0: b}", "names: {x: a}",
    "names: [a]\nval: /etc", "names: [a]\nval: ../..", "names: [a]\nval: [[[]]]", "names: &a [*a]",
    "names: [a]\nval: 5", "names: [a]\nval: ''", "names: {.inf: a}", "names: [a]\npath: [5]",
    "names: {0: {a: b}}\nval: images", "names: !!bool x", "names: !!timestamp x", "names: !!int x",
    "names: !!python/object:os.system x", 'names: ["\\ud800"]\nval: images', "%YAML 9\n---\na",
    "names: " + "[" * 5000, "nc: " + "1:" * 50_000 + "1", "names: " + "1" * 5000, "\x00", "\xff",
    f"a: &a [x,x,x,x,x,x,x,x,x]\n{LAUGHS}names: *i\nval: images",
]  # fmt: skip

LINES = [
    "", "0", "0 1 2", "a b c d e", "0 nan nan nan nan", "0 1e999 0 0 0", "9 .5 .5 .1 .1",
    "-1 .5 .5 .1 .1", "0.5 .5 .5 .1 .1", "1e400 .5 .5 .1 .1", "0 5 5 5 5", "0 .5 .5 -.1 -.1",
    "0 .5 .5 .1 .1 7", "0 .1 .1 .2 .2 .3", "0 " + ".5 " * 20_001, "0 .5 .5 .1 .1\n" * 9000, "\x00",
    "\ufeff0 .5 .5 .1 .1", "0 .5 .5 .1 .1 \u2028 x", "nan .5 .5 .1 .1", "inf .5 .5 .1 .1",
]  # fmt: skip


def yolo_set(folder: Path) -> Path:
    make_photos(folder / "images/val", 2)
    (folder / "labels/val").mkdir(parents=True)
    for i in range(2):
        (folder / f"labels/val/000{i}.txt").write_text("1 0.5 0.5 0.4 0.4\n", "utf-8")
    file = folder / "data.yaml"
    file.write_text("val: images/val\nnames: [red blood cell, platelet]\n", "utf-8")
    return file


def yolo_cases(chosen: random.Random) -> list[tuple[str, Spoil]]:
    def text(file: str, content: str) -> Spoil:
        def spoil(folder: Path) -> None:
            (folder / file).write_bytes(content.encode("utf-8", "surrogatepass"))

        return spoil

    cases = [(f"yaml {y[:40]!r}", text("data.yaml", y)) for y in YAMLS]
    cases += [(f"line {line[:40]!r}", text("labels/val/0000.txt", line)) for line in LINES]
    lists = ["/etc/passwd", "../../x", "images/val/0000.png\n" * 6, "\x00", "x" * 10_000, "\ud800"]
    for content in lists:

        def listed(folder: Path, content: str = content) -> None:
            text("val.txt", content)(folder)
            text("data.yaml", "val: val.txt\nnames: [a, platelet]")(folder)

        cases.append((f"list {content[:30]!r}", listed))
    return cases


VOC = """<annotation><filename>0000.png</filename><size><width>96</width><height>64</height></size>
<object><name>platelet</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>50</xmax><ymax>40</ymax>
</bndbox></object></annotation>"""


def voc_set(folder: Path) -> Path:
    make_photos(folder, 1)
    (folder / "0000.xml").write_text(VOC, "utf-8")
    return folder


def voc_cases(chosen: random.Random) -> list[tuple[str, Spoil]]:
    bomb = '<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>' + VOC.replace("platelet", "&b;")
    outside = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + VOC.replace("0000", "&x;")
    texts = [
        "", "<", "<a/>", bomb, outside, "<annotation>" * 20_000, "\x00", VOC[:80],
        *(VOC.replace("96", v) for v in ("", "-1", "x", "1e400", "9" * 5000, "nan")),
        *(VOC.replace("<xmin>5", f"<xmin>{v}") for v in ("", "nan", "inf", "1e400", "-1e9", "x")),
        *(VOC.replace("platelet", v) for v in ("", "&#0;", "x" * 10_000, "&#55296;", "&lt;")),
        *(VOC.replace("0000.png", v) for v in ("", "/etc/passwd", "../../x", "a" * 9999, "..")),
    ]  # fmt: skip

    def text(content: str) -> Spoil:
        return lambda folder: (folder / "0000.xml").write_text(content, "utf-8") and None

    return [(f"xml {t[:60]!r} … {len(t)}", text(t)) for t in texts]


def noise(file: str, chosen: random.Random) -> list[tuple[str, Spoil]]:
    """Bytes changed anywhere, and other things than a file in its place."""

    def changed(seed: int) -> Spoil:
        def spoil(folder: Path) -> None:
            data = bytearray((folder / file).read_bytes())
            own = random.Random(seed)
            for _ in range(own.choice((1, 1, 5))):
                data[own.randrange(len(data))] = own.randrange(256)
            (folder / file).write_bytes(data[: own.choice((len(data), own.randrange(len(data))))])

        return spoil

    def replaced(name: str) -> Spoil:
        def spoil(folder: Path) -> None:
            (folder / file).unlink()
            IN_PLACE[name](folder / file, folder)

        return spoil

    cases = [(f"{file} noise {i}", changed(chosen.randrange(2**32))) for i in range(40)]
    return cases + [(f"{file}: {name}", replaced(name)) for name in IN_PLACE]


SETS: dict[str, tuple[Callable[[Path], Path], Any, str]] = {
    "coco": (coco_set, coco_cases, "annotations.json"),
    "yolo": (yolo_set, yolo_cases, "data.yaml"),
    "voc": (voc_set, voc_cases, "0000.xml"),
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, command: Forked) -> Path:
    """A workspace with labels of the photos that all sets are of."""
    from tests.attack.conftest import MODELS

    folder = tmp_path_factory.mktemp("labelled")
    make_photos(folder / "photos", 2)
    done = command(
        "detect", folder / "photos", "-w", folder / "ws", "--model", MODELS / "detector",
        "--prompt", "platelet", "--prompt", "red blood cell", "--box-threshold", "0.01",
    )  # fmt: skip
    assert done.status == 0, done.err
    return folder / "ws"


@pytest.mark.parametrize("kind", SETS)
def test_hostile_labels(
    command: Forked, labelled: Path, elsewhere: Path, tmp_path: Path, kind: str
) -> None:
    make, cases_of, file = SETS[kind]
    chosen = random.Random(SEED)
    cases = [*cases_of(chosen), *noise(file, chosen)]
    cases = chosen.sample(cases, min(COUNT, len(cases)))
    whole = tmp_path / "whole"
    named = make(whole)
    assert command("evaluate", labelled, "--truth", named).status == 0
    Image.new("RGB", (50, 40)).save(tmp_path / "other.png")
    before = contents(elsewhere)
    faults = []
    for i, (name, spoil) in enumerate(cases):
        folder = tmp_path / str(i)
        shutil.copytree(whole, folder)
        spoil(folder)
        for arguments in (
            ["evaluate", labelled, "--truth", folder / named.relative_to(whole)],
            ["evaluate", labelled, "--truth", folder],
            ["ingest", tmp_path / "other.png", "-w", folder / "new", "--holdout", folder],
        )[i % 2 :: 2]:
            fault = command(*arguments).fault()
            faults += [f"{name} | {arguments[0]} {arguments[-1]}\n    {fault}"] if fault else []
        shutil.rmtree(folder)
    assert not faults, f"{len(faults)} of {len(cases)} cases:\n" + "\n".join(faults[:40])
    assert contents(elsewhere) == before
