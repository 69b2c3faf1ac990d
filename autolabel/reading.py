"""Reading files that others wrote: regular files alone, and JSON, YAML and arrays within
bounds.

A pipe would wait for ever, a device never ends, and a few hundred bytes of YAML can name themselves
until they fill the memory. Whatever is read from a path that a user, a workspace or a dataset
gives comes through here.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import zipfile
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

LARGEST_JSON = 2**29
"""Bytes; COCO's own 860,000 labels take 450 MB, and seven times that in memory."""
MOST_LISTS = 30_000_000
"""Lists and objects in a JSON file; an empty one takes three bytes of the file and 60 of memory."""
LARGEST_YAML = 2**20
"""Bytes; the names of 10,000 classes take 200 kB."""
LARGEST_TEXT = 2**28
"""Bytes of any other text: label files, lists, XML."""
LARGEST_IMAGE = 2**31
"""Bytes of an image file."""

_SURROGATE = re.compile("\\\\u[dD][89a-fA-F]")
_LONE = re.compile("[\ud800-\udfff]")
_LONGEST_NUMBER = 400
_SPARE_NODES = 100_000
"""By how much aliases may lengthen a YAML file, in nodes and characters."""


def open_regular(path: str | os.PathLike[str], folder: int | None = None) -> BufferedReader:
    """Open a regular file for reading; nothing else is ever waited for or read.

    Args:
        path: of the file.
        folder: descriptor of the open folder that it is in, by its last part.

    Raises:
        OSError: missing, not a regular file, or not readable; `strerror` says it in words.
    """
    at = path if folder is None else Path(path).name
    seen = os.stat(at, dir_fd=folder)
    _refuse_unless_regular(seen.st_mode, path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_CLOEXEC", 0)
    file = os.fdopen(os.open(at, flags, dir_fd=folder), "rb")
    try:
        _refuse_unless_regular(os.fstat(file.fileno()).st_mode, path)  # it may be another by now
    except OSError:
        file.close()
        raise
    return file


def _refuse_unless_regular(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def read_regular(path: str | os.PathLike[str], largest: int = LARGEST_TEXT) -> bytes:
    """Return the bytes of a regular file of at most `largest` bytes.

    Raises:
        OSError: as `open_regular`, or it is larger; `strerror` says it in words.
    """
    with open_regular(path) as file:
        return read_open(file, path, largest)


def read_open(file: BufferedReader, path: str | os.PathLike[str], largest: int) -> bytes:
    """Return the bytes of an open file.

    Raises:
        OSError: it cannot be read, or is larger than `largest` bytes.
    """
    # The size first, so that a huge sparse file costs nothing; the read is bounded anyway.
    if os.fstat(file.fileno()).st_size <= largest:
        data = file.read(largest + 1)
        if len(data) <= largest:
            return data
    shown = f"{largest >> 20} MiB" if largest >= 2**20 else f"{largest} bytes"
    raise OSError(errno.EFBIG, f"larger than {shown}", os.fspath(path))


def parse_json(data: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: not JSON, nested too deeply, more than `MOST_LISTS` in it, or a text in it is
            not Unicode.
    """
    if isinstance(data, bytes):
        data = data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
    if data.count("[") + data.count("{") > MOST_LISTS:
        raise ValueError(f"it has more than {MOST_LISTS:,} lists and objects")
    try:
        value = json.loads(data)
        if _SURROGATE.search(data):  # half of a pair alone cannot be written anywhere
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
    return value


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: see `read_regular`.
        ValueError: see `parse_json`.
    """
    return parse_json(read_regular(path, largest))


def parse_arrays(data: bytes, largest: int) -> dict[str, Any]:
    """Return the arrays of an ``.npz`` file, by name; no object in it is ever made.

    Args:
        data: of the file.
        largest: bytes that its arrays may take unpacked; a few kilobytes can unpack to gigabytes.

    Raises:
        ValueError: not such a file, damaged, or larger.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if sum(part.file_size for part in file.infolist()) > largest:
                raise ValueError(f"larger than {largest >> 20} MiB")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as e:  # zip files and arrays in them raise nearly anything
        raise ValueError(f"damaged: {e}") from e


def parse_yaml(text: str) -> Any:
    """Return the value of a plain YAML text: no tags that make objects, no endless aliases.

    Raises:
        ValueError: not YAML, larger than `LARGEST_YAML`, nested too deeply, a value does not fit
            its tag, a text in it is not Unicode, or its aliases lead to themselves or to more
            than `_SPARE_NODES` nodes.
    """
    if len(text) > LARGEST_YAML:
        raise ValueError(f"larger than {LARGEST_YAML >> 20} MiB")
    try:
        return yaml.load(text, _BoundedLoader)
    except yaml.YAMLError as e:
        raise ValueError(" ".join(str(e).split())) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise
    except Exception as e:  # PyYAML's constructors raise nearly anything on a tag that does not fit
        raise ValueError(f"a value does not fit its tag ({type(e).__name__})") from None


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        OSError: see `read_regular`.
        ValueError: see `parse_yaml`; also text that is not UTF-8.
    """
    return parse_yaml(read_regular(path, LARGEST_YAML).decode("utf-8-sig"))


class _BoundedLoader(yaml.SafeLoader):
    """A safe loader that counts what aliases lead to before anything is made of it."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            extent = _extent(node, {})
            if extent > _SPARE_NODES + 2 * self.index:
                raise ValueError("its aliases (*name) make it too large")
        return node

    def construct_number(self, node: Any) -> Any:
        """Return a number; one of thousands of digits or of 1:1:1:… takes time with its square."""
        if len(node.value) > _LONGEST_NUMBER:
            raise ValueError("a number is too long")
        is_int = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)


for _tag in ("int", "float"):
    _BoundedLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _BoundedLoader.construct_number)


def _extent(node: yaml.Node, known: dict[int, int]) -> int:
    """Count nodes and characters below a node, aliases written out."""
    if isinstance(node, yaml.ScalarNode):
        if _LONE.search(node.value):
            raise ValueError("it holds half a character (a lone surrogate)")
        return 1 + len(node.value)
    if id(node) in known:
        if known[id(node)] < 0:
            raise ValueError("an alias (*name) leads to itself")
        return known[id(node)]
    known[id(node)] = -1
    pairs = node.value
    below = [n for pair in pairs for n in pair] if isinstance(node, yaml.MappingNode) else pairs
    known[id(node)] = 1 + sum(_extent(n, known) for n in below)
    return known[id(node)]
