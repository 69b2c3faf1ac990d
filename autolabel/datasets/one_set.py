"""Which files hold one data set: those whose paths differ by the name of a split alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from autolabel.datasets.base import Labels

_SPLIT = re.compile(
    r"(?<![^\W_])(train|valid|validation|val|test)(?:\d{4})?(?![^\W_])", re.IGNORECASE
)
_ORDER = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}


def one_set(paths: Iterable[Path], root: Path) -> list[list[Path]]:
    """Return files or folders below `root` by the set that they belong to, train before val.

    Roboflow writes ``train/``, ``valid/`` and ``test/``, COCO ``instances_train2017.json`` and
    ``instances_val2017.json``.

    >>> files = [Path(p) for p in ("val_a.csv", "train_a.csv", "vals.csv", "trains.csv")]
    >>> [[p.name for p in one] for one in one_set(files, Path())]
    [['train_a.csv', 'val_a.csv'], ['vals.csv'], ['trains.csv']]
    """
    sets: dict[str, list[tuple[int, Path]]] = {}
    for path in dict.fromkeys(paths):
        name = path.relative_to(root).as_posix()
        found = _SPLIT.search(name)
        rank = _ORDER[found[1].lower()] if found else 0
        sets.setdefault(_SPLIT.sub("/", name), []).append((rank, path))
    return [[path for _, path in sorted(one, key=lambda pair: pair[0])] for one in sets.values()]


def merged(parts: Iterable[Labels]) -> Labels:
    """Return the labels of several files as those of one; classes are those of the same name."""
    names: dict[str, None] = {}
    images = []
    for some, found in parts:
        names |= dict.fromkeys(some)
        images += found
    return tuple(names), images
