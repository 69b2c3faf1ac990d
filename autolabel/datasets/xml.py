"""XML files that others wrote: read piece by piece, without entities, within bounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from autolabel.errors import AutolabelError
from autolabel.reading import open_regular

LARGEST_XML = 2**30
"""Bytes; only as much of it is held as one child of the root takes."""


def beginning(file: Path) -> list[str]:
    """Return the names of the root and of its first child; none where it is not XML."""
    try:
        with _parts(file, ("start",)) as parts:
            return [element.tag for (_, element), _ in zip(parts, range(2), strict=False)]
    except AutolabelError:
        return []


def children(file: Path) -> Iterator[Any]:
    """Yield each child of the root with all that it holds; it is forgotten after its turn.

    Raises:
        AutolabelError: the file cannot be read, is too large, is not XML, or declares entities.
    """
    with _parts(file, ("start", "end")) as parts:
        root, depth = None, 0
        for event, element in parts:
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                yield element
                root.clear()


@contextmanager
def _parts(file: Path, events: tuple[str, ...]) -> Iterator[Iterator[tuple[str, Any]]]:
    try:
        with open_regular(file) as stream:
            if os.fstat(stream.fileno()).st_size > LARGEST_XML:
                raise AutolabelError(
                    f"{file} cannot be read: larger than {LARGEST_XML >> 20} MiB",
                    hint="export fewer images at once",
                )
            with _refusing(f"{file}: "):
                yield SafeXml.iterparse(stream, events)
    except OSError as e:
        raise AutolabelError(
            f"{file} cannot be read: {e.strerror}", hint="make it readable, or name other labels"
        ) from None


def parsed(xml: bytes) -> Any:
    """Return the root of a small document.

    Raises:
        AutolabelError: it is not XML, or declares entities.
    """
    with _refusing():
        return SafeXml.fromstring(xml)


@contextmanager
def _refusing(named: str = "") -> Iterator[None]:
    try:
        yield
    except DefusedXmlException:
        raise AutolabelError(
            f"{named}it declares XML entities, which is not safe to read",
            hint="remove the <!DOCTYPE …> from the file",
        ) from None
    except (SafeXml.ParseError, ValueError, LookupError) as e:
        raise AutolabelError(f"{named}not valid XML: {e}", hint="fix that line") from None
