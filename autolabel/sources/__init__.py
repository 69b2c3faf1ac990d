"""Which files are meant, and how their paths are written down."""

# Paths are made absolute and relative as text; pathlib would follow links.
# ruff: noqa: PTH100, PTH118, PTH120, PTH207, PTH208

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from autolabel.errors import AutolabelError, nearest
from autolabel.ops.images import IMAGE_SUFFIXES
from autolabel.reading import read_regular
from autolabel.sources.walk import Walk, shown, unreadable

LIST_SUFFIXES = frozenset({".txt", ".lst"})
"""Endings, in lower case, of files that hold one path a line."""

_ENCODED = "file:"
_DIGITS = re.compile("([0-9]+)")
_ENDINGS_HINT = (
    "endings that are read: "
    + " ".join(sorted(s.removeprefix(".") for s in IMAGE_SUFFIXES))
    + "; a file named by itself is read whatever its ending"
)
_SOURCES_HINT = "give image files, folders, lists of paths (.txt) or patterns such as 'a/**/*.jpg'"


@dataclass(frozen=True)
class Found:
    """What the sources named.

    Attributes:
        paths: absolute paths, symbolic links of files not resolved; none twice.
        ignored: how many files in folders (hidden ones aside) have another ending.
        ours: how many images were left alone because autolabel wrote them.
    """

    paths: list[Path]
    ignored: int
    ours: int = 0


def find_images(sources: Sequence[str], *, leave_ours: bool = False) -> Found:
    """Collect image files, source by source, each folder in natural order (2 before 10).

    A source is

    - a file, taken whatever its ending; it may turn out to be unreadable later;
    - a list: a file that ends in ``.txt`` or ``.lst``, or ``-`` for standard input, with one path
      a line, relative to the current folder; blank lines are skipped, missing files are not;
    - a folder: every image in it and below; hidden files and folders are skipped, and a folder
      that links lead to twice is read once;
    - a pattern such as ``photos/**/*.jpg``, where nothing has that very name.

    Args:
        sources: as above.
        leave_ours: whether to leave alone, in folders and patterns, what a note beside it says that
            autolabel wrote (exports, previews), and the workspaces below. A file that is named
            itself is taken, and so are the files of a folder inside of an export.

    Raises:
        AutolabelError: a source does not exist, cannot be read, or holds no image.
    """
    paths: dict[Path, None] = {}  # an ordered set
    ignored: set[Path] = set()
    ours: set[Path] = set()
    for source in sources:
        found = _one_source(source, leave_ours)
        paths.update(dict.fromkeys(found.images))
        ignored.update(found.others)
        ours.update(found.ours)
    return Found(list(paths), len(ignored - paths.keys()), len(ours - paths.keys()))


def to_uri(path: Path, root: Path) -> str:
    """Return the path relative to `root`, with ``/``; absolute where there is no relative path.

    A name that is not UTF-8, or that looks like an encoded one, is written as ``file:`` and its
    percent-encoded bytes. `from_uri` is the exact inverse for absolute paths without ``..``.

    >>> to_uri(Path("/data/photos/a b.jpg"), Path("/data/sets"))
    '../photos/a b.jpg'
    >>> to_uri(Path(os.fsdecode(b"/data/caf\\xe9.jpg")), Path("/data"))
    'file:caf%E9.jpg'
    """
    try:
        relative = os.path.relpath(path, root)
    except ValueError:  # another drive
        relative = os.path.abspath(path)
    relative = relative.replace(os.sep, "/")
    if relative.startswith(_ENCODED) or not _is_utf8(relative):
        return _ENCODED + quote_from_bytes(os.fsencode(relative), safe="/")
    return relative


def from_uri(uri: str, root: Path) -> Path:
    """Return the path that `to_uri` wrote down.

    >>> from_uri("../photos/a%20b.jpg", Path("/data/sets")).as_posix()
    '/data/photos/a%20b.jpg'
    """
    if uri.startswith(_ENCODED):
        uri = os.fsdecode(unquote_to_bytes(uri.removeprefix(_ENCODED)))
    # Not left to the system: "link/../a.jpg" would leave from where the link leads to.
    return Path(os.path.normpath(os.path.join(os.path.abspath(root), uri)))


def common_root(paths: Iterable[Path]) -> Path:
    """Return the deepest folder that holds all the files; absolute, links not resolved.

    >>> common_root([Path("/data/a/1.jpg"), Path("/data/b/2.jpg")]).as_posix()
    '/data'

    Raises:
        ValueError: no paths, or they lie on different drives.
    """
    return Path(os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths]))


@dataclass(frozen=True)
class _Source:
    """What one source names: images, files of other kinds, and images that autolabel wrote."""

    images: list[Path]
    others: list[Path]
    ours: list[Path]


def _one_source(source: str, leave_ours: bool) -> _Source:
    if not source:  # an unset variable in a script; Path("") would be the current folder
        raise AutolabelError("a source is empty", hint=_SOURCES_HINT)
    path = Path(source)
    if source == "-":
        return _Source(_listed(sys.stdin.buffer.read(), "standard input"), [], [])
    if path.is_dir():
        walk = Walk(leave_ours)
        return _split(walk.below(_absolute(path)), walk, f"in {shown(source)}")
    if os.path.lexists(path):
        if path.suffix.lower() in LIST_SUFFIXES:
            return _Source(_listed(_read_list(path), shown(source)), [], [])
        return _Source([_absolute(path)], [], [])
    if glob.has_magic(source):
        walk = Walk(leave_ours)
        return _split(_matching(source, walk), walk, f"match {shown(source)}")
    raise AutolabelError(f"no such file or folder: {shown(source)}", hint=_nearest_hint(path))


def _split(files: Iterable[Path], walk: Walk, where: str) -> _Source:
    images: set[Path] = set()
    others: list[Path] = []
    for file in files:
        if file.suffix.lower() in IMAGE_SUFFIXES:
            images.add(file)
        else:
            others.append(file)
    ours = images & walk.noted | walk.stored
    images -= ours
    if not images:
        if ours:
            raise AutolabelError(
                f"no images {where} but {len(ours)} that autolabel wrote",
                hint="name the photos; a file or a folder inside an export is taken if it is named",
            )
        raise AutolabelError(f"no images {where}", hint=_ENDINGS_HINT)
    return _Source(sorted(images, key=_natural), others, list(ours))


def _matching(pattern: str, walk: Walk) -> Iterator[Path]:
    """Yield files that the pattern matches, and those below folders that it matches.

    Only the part before ``**`` is left to `glob`, which would follow links in circles.
    """
    parts = Path(pattern).parts
    depth = parts.index("**") if "**" in parts else len(parts)
    for match in sorted(glob.glob(os.path.join("", *parts[:depth]) or ".")):
        start = _absolute(Path(match))
        if not start.is_dir():
            if depth == len(parts):
                walk.beside(start)
                yield start
            continue
        for file in walk.below(start):
            below = file.relative_to(start).parts
            ancestors = accumulate(((part,) for part in below), tuple.__add__)
            if depth == len(parts) or any(_matches(a, parts[depth:]) for a in ancestors):
                yield file


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tell whether a path matches a pattern whose ``**`` stands for any number of folders."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _read_list(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as e:
        raise unreadable("list", path, e) from e


def _listed(data: bytes, name: str) -> list[Path]:
    if b"\0" in data:
        raise AutolabelError(f"{name} is not a list of paths", hint="write one path a line")
    lines = [line.rstrip(b"\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    paths = [_absolute(Path(os.fsdecode(line))) for line in lines if line.strip()]
    if not paths:
        raise AutolabelError(f"no paths in {name}", hint="write one path a line")
    return paths


def _absolute(path: Path) -> Path:
    """Make it absolute, without ``..``; links stay links, but for those before a ``..``."""
    if ".." not in path.parts:
        return Path(os.path.abspath(path))
    if path.name == "..":
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent), path.name)


def _natural(path: Path) -> tuple[object, ...]:
    """Return a sort key: folder by folder, digits by value, then letters whatever their case."""
    folded = [
        [
            (0, int(s), "") if s.isdecimal() else (1, 0, s.casefold())
            for s in _DIGITS.split(part)
            if s
        ]
        for part in path.parts
    ]
    return folded, os.fsencode(path)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _nearest_hint(path: Path) -> str:
    """Name the sibling with the nearest name, at the deepest level that exists."""
    while not path.parent.is_dir() and path != path.parent:
        path = path.parent
    names = sorted(os.listdir(path.parent)) if os.access(path.parent, os.R_OK) else []
    near = nearest(path.name, names)
    return f"did you mean {shown(path.parent / near)}?" if near else _SOURCES_HINT
