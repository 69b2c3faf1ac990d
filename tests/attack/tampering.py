"""Changes to a workspace that somebody else might have made."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Change = Callable[[Path, Path], None]
"""Takes the workspace, and a folder elsewhere that it must not lead to."""

DEEP = json.loads("[" * 300 + "]" * 300)
VALUES: list[Any] = [
    None, True, 0, -1, 7, 10**400, 2**63, 1e308, float("nan"), "", "x", "a" * 100_000, "../..",
    "../../../etc/passwd", "/dev/zero", "\ud800", "\0", [], {}, [1], {"a": 1}, DEEP, [None], "1",
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value can be put in a JSON document; of long lists the first and last."""
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for i in sorted({0, len(value) - 1} & set(range(len(value)))):
            yield from places(value[i], (*at, i))


def put(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    target = document
    for key in at[:-1]:
        target = target[key]
    target[at[-1]] = value
    return document


def change_json(file: str, at: tuple[Any, ...], value: Any) -> Change:
    def change(home: Path, elsewhere: Path) -> None:
        path = home / file
        document = put(json.loads(path.read_text("utf-8")), at, value)
        path.write_text(json.dumps(document), "utf-8")

    return change


def drop_key(file: str, at: tuple[Any, ...]) -> Change:
    def change(home: Path, elsewhere: Path) -> None:
        path = home / file
        document = json.loads(path.read_text("utf-8"))
        target = document
        for key in at[:-1]:
            target = target[key]
        del target[at[-1]]
        path.write_text(json.dumps(document), "utf-8")

    return change


def json_changes(home: Path, chosen: random.Random, count: int) -> list[tuple[str, Change]]:
    """Values of a wrong type or out of range, and missing keys, over all JSON files."""
    files = [
        str(p.relative_to(home))
        for p in sorted([*home.rglob("*.json"), home / "ontology.yaml"])
        if p.suffix == ".json"
    ]
    found: list[tuple[str, Change]] = []
    for file in files:
        spots = list(places(json.loads((home / file).read_text("utf-8"))))
        for at in spots if len(spots) <= 60 else chosen.sample(spots, 60):
            for value in chosen.sample(VALUES, 3):
                shown = f"{file} {'.'.join(map(str, at))} = {str(value)[:30]!r}"
                found.append((shown, change_json(file, at, value)))
            if at:
                found.append((f"{file} without {'.'.join(map(str, at))}", drop_key(file, at)))
    return chosen.sample(found, min(count, len(found)))


# -- shards -------------------------------------------------------------------------------------


def rewrite(file: str, new: Callable[[pa.Table], pa.Table]) -> Change:
    def change(home: Path, elsewhere: Path) -> None:
        table = pq.ParquetFile(home / file).read()
        made = new(table)
        pq.write_table(made.replace_schema_metadata(table.schema.metadata), home / file)
        reseal(home / file)

    return change


def reseal(shard: Path) -> None:
    """Note the digest of a changed shard, as one would who wants it to be believed."""
    manifest = shard.parent / "manifest.json"
    document = json.loads(manifest.read_text("utf-8"))
    if shard.name.startswith("part-") and document.get("digests"):
        number = str(int(shard.stem[5:]))
        document["digests"][number] = hashlib.sha256(shard.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(document), "utf-8")


def _column(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    def new(table: pa.Table) -> pa.Table:
        i = table.schema.get_field_index(name)
        kind = table.schema.field(name).type
        values = table.column(name).to_pylist()
        return table.set_column(i, name, pa.array([value, *values[1:]], kind))

    return new


def _objects(edit: Callable[[dict[str, Any]], None]) -> Callable[[pa.Table], pa.Table]:
    def new(table: pa.Table) -> pa.Table:
        rows = table.column("objects").to_pylist()
        first = next((row for row in rows if row), None)
        if first:
            for one in rows:
                for thing in one:
                    edit(thing)
        kind = table.schema.field("objects").type
        i = table.schema.get_field_index("objects")
        return table.set_column(i, "objects", pa.array(rows, kind))

    return new


def _set(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(thing: dict[str, Any]) -> None:
        thing[name] = value(thing[name]) if callable(value) else value

    return edit


def _cast(name: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def new(table: pa.Table) -> pa.Table:
        i = table.schema.get_field_index(name)
        return table.set_column(i, name, pa.nulls(len(table), kind))

    return new


def _bad_text(table: pa.Table) -> pa.Table:
    i = table.schema.get_field_index("uri")
    raw = pa.array([b"\xff\xfe.jpg"] * len(table), pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    return table.set_column(i, "uri", text)


LABELS: list[tuple[str, Callable[[pa.Table], pa.Table]]] = [
    *[
        (f"uri {uri[:40]}", _column("uri", uri))
        for uri in (
            "../../../../../../etc/passwd", "/etc/passwd", "/dev/zero", "file:%2Fdev%2Fzero",
            "../" * 40 + "dev/zero", "", ".", "a\0b", "x" * 5000, "file:",
        )
    ],
    *[(f"image_id {v!r}"[:40], _column("image_id", v)) for v in (None, "", "../../", "x" * 500)],
    *[(f"{n} {v}", _column(n, v)) for n in ("width", "height") for v in (None, -1, 0, 2**31 - 1)],
    *[(f"split {v!r}", _column("split", v)) for v in (None, "", "odd", "train/../..")],
    *[(f"error {v!r}"[:30], _column("error", v)) for v in ("", "x" * 10_000, "\x1b[2J")],
    *[(f"{n} {v!r}", _column(n, v)) for n in ("group", "note", "phash") for v in (None, "", "zz")],
    *[
        (f"boxes {v}", _objects(_set("xyxy", v)))
        for v in (
            [float("nan")] * 4, [float("inf")] * 4, [9, 9, 1, 1], [-1e6, -1e6, 1e6, 1e6],
            [1e30, 1e30, 2e30, 2e30], [5, 5, 5, 5], None, [1, None, 3, 4],
        )
    ],
    *[
        (f"{name} {str(v)[:20]!r}", _objects(_set(name, v)))
        for name, values in {
            "label": (None, "", "unknown", "../../x", "x" * 10_000, "\x1b[2J\n"),
            "score": (None, float("nan"), float("inf"), -1.0, 7.0),
            "keep": (None, False),
            "reason": (None, "", "x" * 10_000),
            "prompt": (None, "x" * 10_000),
            "scores": (None, [], [("clip", float("nan"))], [("x" * 1000, 1e30)]),
        }.items()
        for v in values
    ],
    *[
        (name, _objects(_set("mask", mask)))
        for name, mask in {
            "mask short": lambda m: m and m[:-1],
            "mask long": lambda m: m and m + b"1",
            "mask a pixel more": lambda m: m and m[:-1] + bytes([m[-1] + 1]),
            "mask noise": b"PPPPPPPPPPPPPPPP",
            "mask empty": b"",
            "mask bytes": bytes(range(256)),
            "mask none": None,
            "mask huge runs": b"ooooooo0" * 50,
        }.items()
    ],
    ("no column uri", lambda t: t.drop_columns(["uri"])),
    ("no column objects", lambda t: t.drop_columns(["objects"])),
    ("a column twice", lambda t: t.append_column("uri", t.column("uri"))),
    ("a column more", lambda t: t.append_column("more", t.column("uri"))),
    ("columns turned round", lambda t: t.select(t.column_names[::-1])),
    ("width as text", _cast("width", pa.string())),
    ("objects as numbers", _cast("objects", pa.int32())),
    ("objects null", _column("objects", None)),
    ("uri as bytes", _cast("uri", pa.binary())),
    ("uri not Unicode", _bad_text),
    ("no rows", lambda t: t.slice(0, 0)),
    ("rows missing", lambda t: t.slice(1)),
    ("rows turned round", lambda t: t.take(pa.array(range(len(t))[::-1]))),
    ("rows twice", lambda t: pa.concat_tables([t, t])),
    ("150,000 rows", lambda t: t.take(pa.array([0] * 150_000))),
    ("another table", lambda t: pa.table({"a": [1, 2, 3]})),
]  # fmt: skip


def vectors(value: float) -> Callable[[pa.Table], pa.Table]:
    def new(table: pa.Table) -> pa.Table:
        i = table.schema.get_field_index("crops")
        kind = table.schema.field("crops").type
        rows = [[[value] * len(v) for v in row] for row in table.column("crops").to_pylist()]
        return table.set_column(i, "crops", pa.array(rows, kind))

    return new


VECTORS: list[tuple[str, Callable[[pa.Table], pa.Table]]] = [
    ("vectors of NaN", vectors(float("nan"))),
    ("vectors of 0", vectors(0.0)),
    ("no rows", lambda t: t.slice(0, 0)),
    ("rows missing", lambda t: t.slice(1)),
    ("a crop less", lambda t: t.set_column(
        t.schema.get_field_index("crops"), "crops",
        pa.array([row[1:] for row in t.column("crops").to_pylist()], t.schema.field("crops").type),
    )),
    ("image null", _cast("image", pa.list_(pa.float16(), 7))),
    ("crops as numbers", _cast("crops", pa.float32())),
    ("another table", lambda t: pa.table({"a": [1, 2, 3]})),
]  # fmt: skip


def shard_changes(home: Path) -> list[tuple[str, Change]]:
    found: list[tuple[str, Change]] = []
    for path in sorted(home.rglob("part-*.parquet")):
        file = str(path.relative_to(home))
        kinds = VECTORS if "/embed/" in f"/{file}" else LABELS
        found += [(f"{file}: {name}", rewrite(file, new)) for name, new in kinds]
    return found


# -- files --------------------------------------------------------------------------------------


def _in_place(file: str, make: Callable[[Path, Path], None]) -> Change:
    def change(home: Path, elsewhere: Path) -> None:
        path = home / file
        path.unlink()
        make(path, elsewhere)
        if path.suffix == ".parquet" and path.is_file() and path.stat().st_size < 2**20:
            reseal(path)

    return change


def _sparse(path: Path, elsewhere: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


IN_PLACE: dict[str, Callable[[Path, Path], None]] = {
    "a pipe": lambda path, _: os.mkfifo(path),
    "a folder": lambda path, _: path.mkdir(),
    "/dev/zero": lambda path, _: path.symlink_to("/dev/zero"),
    "a link elsewhere": lambda path, elsewhere: path.symlink_to(elsewhere / "secret.json"),
    "a link to itself": lambda path, _: path.symlink_to(path.name),
    "nothing in it": lambda path, _: path.touch(),
    "nothing": lambda path, _: None,
    "a terabyte": _sparse,
    "noise": lambda path, _: path.write_bytes(random.Random(0).randbytes(5000)) and None,
    "deep JSON": lambda path, _: path.write_text("[" * 100_000) and None,
    "half a character": lambda path, _: path.write_text('{"stage": "\\ud800"}') and None,
}


FILES = frozenset({".json", ".parquet", ".yaml", ".csv", ".npz", ".pt", ".lock"})


def file_changes(home: Path) -> list[tuple[str, Change]]:
    files = [
        str(p.relative_to(home))
        for p in sorted(home.rglob("*"))
        if p.is_file() and p.suffix in FILES
    ]
    return [
        (f"{file}: {name} in its place", _in_place(file, make))
        for file in files
        for name, make in IN_PLACE.items()
    ]


def folder_changes() -> list[tuple[str, Change]]:
    def linked(name: str) -> Change:
        def change(home: Path, elsewhere: Path) -> None:
            away = (home / name).rename(home.with_name(f"away-{home.name}"))
            (home / name).symlink_to(away)

        return change

    def planted(name: str, to: str) -> Change:
        def change(home: Path, elsewhere: Path) -> None:
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(elsewhere / to)

        return change

    def cycle(home: Path, elsewhere: Path) -> None:
        change_json("images/manifest.json", ("source",), {"layer": "filter", "fingerprint": ""})(
            home, elsewhere
        )

    def itself(home: Path, elsewhere: Path) -> None:
        change_json("detect/manifest.json", ("source", "layer"), "detect")(home, elsewhere)

    def stray(home: Path, elsewhere: Path) -> None:
        shard = home / "detect/part-00000.parquet"
        for name in ("part-00000 (1).parquet", "part-1.parquet", "part-0000x.parquet"):
            (home / "detect" / name).write_bytes(shard.read_bytes())

    return [
        *[(f"{name} is a link", linked(name)) for name in ("detect", "embed", "embed/clip")],
        *[
            (f"a planted link {name}", planted(name, to))
            for name, to in [
                (".lock", "secret.json"), (".lock.holder", "secret.json"),
                ("detect/.manifest.json.tmp", "secret.json"), (".ontology.yaml.tmp", "new.yaml"),
                (".detect.next", ""), (".detect.old", ""), ("linked", ""),
                ("train/.pico.lock", "secret.json"), ("detect/.part-00000.parquet.tmp", "new"),
            ]
        ],
        ("sources in a circle", cycle),
        ("a layer from itself", itself),
        ("stray shards", stray),
    ]  # fmt: skip


ONTOLOGIES = [
    "", "5", "classes: 5", "classes: {}", "classes: {a: {b: 1}}", "a: &a [*a]", "classes: [[]]",
    "classes: {a: !!bool x}", "classes: [\"\\ud800\"]", "? [a]\n: b", "classes: {5: [null]}",
    "classes: " + "[" * 500, "negatives: 5", "classes: {'': ''}", "classes: {a: a, b: a}",
]  # fmt: skip


def ontology_changes() -> list[tuple[str, Change]]:
    def text(content: str) -> Change:
        return lambda home, _: (home / "ontology.yaml").write_text(content, "utf-8") and None

    return [(f"ontology.yaml {content[:30]!r}", text(content)) for content in ONTOLOGIES]


def bits(home: Path, chosen: random.Random, count: int) -> list[tuple[str, Change]]:
    """Single bits of shards, without a new digest."""
    files = [str(p.relative_to(home)) for p in sorted(home.rglob("part-*.parquet"))]

    def flip(file: str, seed: int) -> Change:
        def change(home: Path, elsewhere: Path) -> None:
            data = bytearray((home / file).read_bytes())
            data[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8
            (home / file).write_bytes(data)
            if seed % 2:
                reseal(home / file)

        return change

    return [(f"{f}: bit {s}", flip(f, s)) for s in range(count) for f in [chosen.choice(files)]]
