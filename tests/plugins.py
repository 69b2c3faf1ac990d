"""Packages that register things with autolabel, as pip lays them out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autolabel.plugins import PluginTable


def install(home: Path, name: str, code: str, entries: Mapping[str, Mapping[str, str]]) -> None:
    """Lay a package of one module out in a folder of `sys.path`.

    Args:
        entries: group -> name -> `module:attribute`.
    """
    (home / f"{name}.py").write_text(code, "utf-8")
    info = home / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    lines = []
    for group, listed in entries.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in listed.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")


@contextmanager
def installed(home: Path) -> Iterator[None]:
    """What is in the folder is installed in this process while the context lasts."""
    before = set(sys.modules)
    sys.path.insert(0, str(home))
    _look_again()
    try:
        yield
    finally:
        sys.path.remove(str(home))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(home)):
                del sys.modules[name]
        _look_again()


def _look_again() -> None:
    for table in PluginTable.tables:
        table.forget()
