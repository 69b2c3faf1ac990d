"""The pictures of a preview in their folder, and a note of which they are."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PIL import Image

from autolabel.sources import from_uri
from autolabel.sources.marks import PREVIEW, noted_in
from autolabel.store import write_atomic

_OURS = re.compile(r"(image|crops)-[\w.-]+\.png")
_LONGEST = 180  # bytes; file systems take 255


class Pictures:
    """A folder to save pictures in; those of an earlier preview go once the new ones are there.

    A note beside them says which they are, before they are written, so that `ingest` never takes
    them for photos. Each picture is good without the others, and nobody asks whether a preview is
    current: so they are replaced one by one, not together as `store.FileSet` replaces an export.

    Attributes:
        files: names of what was saved.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.files: list[str] = []
        self._old: list[str] = []

    def __enter__(self) -> Pictures:
        self.out.mkdir(parents=True, exist_ok=True)
        # Anybody may have written the note: what it names is ours by its name too, and lies here.
        noted = {path.name for path in noted_in(self.out, [PREVIEW]) if path.parent == self.out}
        self._old = sorted(name for name in noted if _OURS.fullmatch(name))
        return self

    def save(self, name: str, picture: Image.Image | None) -> None:
        """Save a picture where there is one."""
        if picture is None:
            return
        self.files.append(name)
        self._note({*self.files, *self._old})
        sink = io.BytesIO()
        picture.save(sink, "PNG")
        write_atomic(self.out / name, sink.getvalue())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            for name in set(self._old) - set(self.files):
                (self.out / name).unlink(missing_ok=True)
            self._note(set(self.files))

    def _note(self, files: set[str]) -> None:
        text = json.dumps({"files": sorted(files)}, indent=1) + "\n"
        write_atomic(self.out / PREVIEW, text.encode())


def image_file(uri: str, image_id: str) -> str:
    """The file name of a drawn photo."""
    return f"image-{_plain(from_uri(uri, Path('/')).stem)}-{image_id[:8]}.png"


def sheet_files(names: Sequence[str]) -> dict[str, str]:
    """The file name of each class's sheet; it depends on no option.

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
    """A name that every file system takes."""
    text = re.sub(r"[^\w.-]+", "_", name).encode()[:_LONGEST].decode("utf-8", "ignore")
    return text or "_"
