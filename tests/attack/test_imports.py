"""Labels from strangers through `import`, in every format that is read: damaged or hostile."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autolabel.datasets.formats import FORMATS
from autolabel.reading import LARGEST_JSON
from tests.attack.forked import Forked, contents
from tests.attack.tampering import VALUES, places, put
from tests.conftest import SAMPLE

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ATTACK_SEED", "0"))
COUNT = int(os.environ.get("ATTACK_IMPORTS", "60"))
"""Cases of each format."""

BOTH_WAYS = [name for name, one in FORMATS.items() if one.reader and one.writer]
TOKENS = [
    "nan", "inf", "-inf", "-1", "1e999", "1e-320", "9" * 400, "", "x", "../../../etc/passwd",
    "/dev/zero", "a" * 100_000, "\u202e", "&x;", "<![CDATA[", "=cmd|' /C calc'!A0", '"', "0x10",
    "1,2;3", "!!python/object/apply:os.system ['true']", "*a", "\N{NULL}",
]  # fmt: skip
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(b)} "{f"&{chr(b - 1)};" * 10}">' for b in range(ord("b"), ord("k")))
    + ']><annotations><version>1.1</version><image name="&j;"/></annotations>'
)
ABROAD = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    "<annotations><version>1.1</version><image>&a;</image></annotations>"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, command: Forked, truth: Path) -> Path:
    """A workspace with masks that people drew."""
    home = tmp_path_factory.mktemp("drawn") / "ws"
    for arguments in (
        ["import", truth, "-w", home],
        ["refine", home, "--model", SAMPLE / "models" / "segmenter"],
    ):
        done = command(*arguments, seconds=300, memory=2**36)
        assert done.status == 0, (arguments, done.err)
    return home


def changed(file: Path, chosen: random.Random) -> str:
    """Spoil one file; in words, how."""
    data = file.read_bytes()
    kind = chosen.choice(["value", "value", "value", "token", "token", "cut", "noise"])
    if kind == "value" and file.suffix == ".json":
        try:
            document = json.loads(data)
        except ValueError:
            kind = "token"
        else:
            at, value = chosen.choice([*places(document)]), chosen.choice(VALUES)
            file.write_text(json.dumps(put(document, at, value)), "utf-8")
            return f"{file.name} {at} = {str(value)[:40]!r}"
    if kind in ("value", "token"):
        text = data.decode("utf-8", "replace")
        found = [*re.finditer(r"[\w.+-]+", text)]
        if found:
            spot, token = chosen.choice(found), chosen.choice(TOKENS)
            spoilt = text[: spot.start()] + token + text[spot.end() :]
            file.write_text(spoilt, "utf-8", newline="")
            return f"{file.name} at {spot.start()}: {spot[0][:20]!r} -> {token[:40]!r}"
    if kind == "cut":
        file.write_bytes(data[: chosen.randrange(len(data) + 1)])
        return f"{file.name} cut"
    spot = chosen.randrange(len(data) + 1)
    file.write_bytes(data[:spot] + chosen.randbytes(20) + data[spot + 20 :])
    return f"{file.name} noise at {spot}"


def label_files(folder: Path) -> Iterator[Path]:
    pictures = (".jpg", ".jpeg", ".png")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() not in pictures and not path.name.startswith("."):
            yield path


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_labels_of_strangers_do_no_harm(
    name: str, command: Forked, home: Path, elsewhere: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    assert command("export", home, "--format", name, "--out", whole).status == 0
    chosen = random.Random(f"{SEED} {name}")
    before = contents(elsewhere)
    faults = []
    for i in range(COUNT):
        folder, copy = tmp_path / f"set{i}", tmp_path / f"ws{i}"
        shutil.copytree(whole, folder)
        shutil.copytree(home, copy)
        files = [*label_files(folder)]
        how = "; ".join(changed(chosen.choice(files), chosen) for _ in range(chosen.choice([1, 2])))
        there = {path.name for path in tmp_path.iterdir()}
        done = command("import", folder, "-w", copy, "--unchanged", "confirm")
        after = command("status", copy)
        for fault in (done.fault(), after.fault(), None if after.status == 0 else after.err):
            faults += [f"{how}\n    {fault}"] if fault else []
        assert {path.name for path in tmp_path.iterdir()} == there, how
        shutil.rmtree(folder)
        shutil.rmtree(copy)
    assert not faults, f"{len(faults)} of {COUNT} cases:\n" + "\n".join(faults[:20])
    assert contents(elsewhere) == before


@pytest.mark.parametrize(
    "name", ["annotations.json", "annotations.xml", "_annotations.csv", "data.yaml", "tasks.json"]
)
def test_a_file_of_a_gigabyte_is_refused_unread(
    name: str, command: Forked, home: Path, truth: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(truth, tmp_path / "set"))
    (folder / "annotations.json").unlink()
    with (folder / name).open("wb") as file:
        file.truncate(2 * LARGEST_JSON)
    done = command("import", folder / name, "-w", home, memory=2**30)
    assert (done.fault(), done.status) == (None, 1), done.err


@pytest.mark.parametrize("text", [BOMB, ABROAD], ids=["entities", "abroad"])
@pytest.mark.parametrize("named", [True, False])
def test_a_bomb_of_entities_is_refused(
    text: str, named: bool, command: Forked, home: Path, truth: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(truth, tmp_path / "set"))
    (folder / "annotations.json").unlink()
    (folder / "annotations.xml").write_text(text, "utf-8")
    source = folder / "annotations.xml" if named else folder
    done = command("import", source, "-w", home, memory=2**30)
    assert (done.fault(), done.status) == (None, 1), done.err
    assert "root:" not in done.err
