"""The pictures of a preview in their folder, and a note of which they are."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from autolabel.datasets.names import plain_name
from autolabel.sources import from_uri
from autolabel.sources.marks import PREVIEW, noted_in
from autolabel.store import not_writable, write_atomic
from autolabel.types import Record

_OURS = re.compile(r"(image|crops|diff)-[\w.-]+\.png")
_LONGEST = 180  # bytes; file systems take 255


def save_pictures(
    out: Path, pictures: Mapping[str, Callable[[], Image.Image | None]]
) -> tuple[str, ...]:
    """Draw pictures into a folder; those of an earlier preview go once the new ones are there.

    A note beside them says which they are, before they are written, so that `ingest` never takes
    them for photos. Each picture is good without the others, and nobody asks whether a preview is
    current: so they are replaced one by one, not together as `store.FileSet` replaces an export.

    Args:
        out: the folder.
        pictures: name of a file -> draws it; None where there is nothing to draw.

    Returns:
        Names of what was saved.

    Raises:
        AutolabelError: the folder cannot be written.
    """
    saved: list[str] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        # Anybody may have written the note: what it names is ours by its name too, and lies here.
        noted = {path.name for path in noted_in(out, [PREVIEW]) if path.parent == out}
        old = {name for name in noted if _OURS.fullmatch(name)}
        for name, draw in pictures.items():
            if (picture := draw()) is not None:
                saved.append(name)
                _note(out, {*saved, *old})
                sink = io.BytesIO()
                picture.save(sink, "PNG")
                write_atomic(out / name, sink.getvalue())
        for name in old - {*saved}:
            (out / name).unlink(missing_ok=True)
        _note(out, {*saved})
    except OSError as e:
        raise not_writable(out, e) from e
    return tuple(saved)


def _note(out: Path, files: set[str]) -> None:
    text = json.dumps({"files": sorted(files)}, indent=1) + "\n"
    write_atomic(out / PREVIEW, text.encode())


def image_file(record: Record, kind: str = "image") -> str:
    """Return the file name of a drawn photo; `kind` is `image` or `diff`."""
    return f"{kind}-{_plain(from_uri(record.uri, Path('/')).stem)}-{record.image_id[:8]}.png"


def sheet_files(names: Sequence[str]) -> dict[str, str]:
    """Return the file name of each class's sheet; it depends on no option.

    Classes whose names differ in case or in what no file name takes get their number too.

    >>> sheet_files(["cat", "a b", "a/b"])
    {'cat': 'crops-cat.png', 'a b': 'crops-a_b-1.png', 'a/b': 'crops-a_b-2.png'}
    """
    plain = {name: _plain(name) for name in names}
    taken = Counter(text.casefold() for text in plain.values())
    files: dict[str, str] = {}
    for i, (name, text) in enumerate(plain.items()):
        file = text if taken[text.casefold()] == 1 else f"{text}-{i}"
        while file != text and taken[file.casefold()]:  # a class may be called so
            file += f"-{i}"
        files[name] = f"crops-{file}.png"
    return files


def _plain(name: str) -> str:
    return plain_name(name, longest=_LONGEST) or "_"
