"""Which photo a task of an annotation tool shows: by its bytes where they can be read, or by name.

Nothing is fetched from anywhere, and no file outside the folders that are given is opened.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autolabel.datasets.files import is_file
from autolabel.datasets.labelled import inner_path
from autolabel.datasets.names import unique_stems
from autolabel.ops.images import ImageError, content_id, read_bytes
from autolabel.sources import from_uri

_UPLOADED = re.compile(r"[^-\w.]")
"""What Label Studio leaves out of the name of a file that is uploaded, spaces apart."""


@dataclass(frozen=True)
class Found:
    """Where a photo was found.

    Attributes:
        image_id: of the photo of the workspace; None where it is none of these.
        path: its file, where that could be read.
    """

    image_id: str | None = None
    path: Path | None = None


@dataclass
class Photos:
    """The photos of a workspace by id, path and name.

    Args:
        uris: image_id -> uri of each.
        source_root: what uris are relative to.
        roots: folders that other photos may lie in.
    """

    uris: dict[str, str]
    source_root: Path
    roots: Sequence[Path] = ()
    by_name: dict[str, set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_name = defaultdict(set)
        paths = {i: from_uri(uri, self.source_root) for i, uri in self.uris.items()}
        exported = unique_stems({i: path.stem for i, path in paths.items()})
        for image_id, path in paths.items():
            for name in {path.name, uploaded(path.name), path.stem, exported[image_id]}:
                self.by_name[name].add(image_id)

    def find(self, names: Iterable[str]) -> Found:
        """Return the photo that has one of these names.

        A file of that path in one of the roots is told by its bytes. Otherwise a photo of the
        workspace counts whose path ends so, or the only one whose file has that name, or had it in
        an export or an upload.

        Args:
            names: paths or names, the likeliest first; hostile ones lead nowhere.
        """
        names = list(names)
        for path in self._files(names):
            try:
                image_id = content_id(read_bytes(path))
            except ImageError:
                continue
            return Found(image_id if image_id in self.uris else None, path)
        for name in names:
            if same := self._named(name):
                return Found(same)
        return Found()

    def _files(self, names: Iterable[str]) -> Iterator[Path]:
        for name in names:
            inner = inner_path(name)
            for root in (self.source_root, *self.roots) if inner else ():
                path = root / str(inner)
                if is_file(path) and path.resolve().is_relative_to(root.resolve()):
                    yield path

    def _named(self, name: str) -> str | None:
        last = PurePosixPath(name.replace("\\", "/"))
        same = self.by_name.get(last.name) or self.by_name.get(last.stem) or set()
        if len(same) > 1:
            ending = f"/{name.lstrip('/')}"
            same = {i for i in same if f"/{self.uris[i]}".endswith(ending)}
        return next(iter(same)) if len(same) == 1 else None


def uploaded(name: str) -> str:
    """Return the name that Label Studio gives to a file that is uploaded.

    >>> uploaded("cat 1 (copy).jpg")
    'cat_1_copy.jpg'
    """
    return _UPLOADED.sub("", name.strip().replace(" ", "_"))
