"""The ``data.yaml`` of a YOLO dataset, as ultralytics and Roboflow write it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from autolabel.errors import AutolabelError
from autolabel.reading import parse_yaml

SPLITS = ("val", "test", "train")
"""In the order in which one of them is chosen to measure on."""


@dataclass(frozen=True)
class DataYaml:
    """What a ``data.yaml`` says.

    Attributes:
        names: classes in the order of their ids.
        path: the dataset's root as written, or None.
        splits: split -> folders or lists of images, as written.
    """

    names: tuple[str, ...]
    path: str | None
    splits: dict[str, tuple[str, ...]]


def data_yaml(names: Sequence[str], splits: Collection[str]) -> str:
    """Return the text of a ``data.yaml``.

    It has no ``path``: trainers then take the folder that the file lies in, so that the dataset
    can be moved. A relative one, ``.`` included, they look for in the current folder or their own.

    Args:
        names: classes in the order of their ids.
        splits: those that there are; train always is.
    """
    lines = ["# written by autolabel", _dumped({"train": "images/train"})]
    if "val" not in splits:
        lines.append("# there is no val split, but trainers require the key")
    lines.append(_dumped({"val": f"images/{'val' if 'val' in splits else 'train'}"}))
    if "test" in splits:
        lines.append(_dumped({"test": "images/test"}))
    lines.append(_dumped({"names": dict(enumerate(names))}))
    return "\n".join(lines) + "\n"


def _dumped(data: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text.rstrip("\n")


def from_data_yaml(text: str) -> DataYaml:
    """Read a ``data.yaml`` with `names` as a list or as a mapping of ids.

    Raises:
        AutolabelError: it is not YAML, or has no usable names.
    """
    try:
        data = parse_yaml(text)
    except ValueError as e:
        raise AutolabelError(f"not valid YAML: {e}", hint="fix that line") from None
    if not isinstance(data, dict):
        raise AutolabelError("no keys in it", hint="a data.yaml has names:, train: and val:")
    splits = {
        split: tuple(str(v) for v in (value if isinstance(value, list) else [value]))
        for split in SPLITS
        if (value := data.get(split))
    }
    path = data.get("path")
    return DataYaml(_names(data.get("names")), None if path is None else str(path), splits)


def _names(given: Any) -> tuple[str, ...]:
    if isinstance(given, dict):
        try:
            by_id = {int(key): name for key, name in given.items()}
        except (TypeError, ValueError, OverflowError):
            by_id = {}
        if sorted(by_id) == list(range(len(given))):
            given = [by_id[i] for i in range(len(by_id))]
    if not isinstance(given, list) or not given:
        raise AutolabelError(
            "its names are not numbered from 0 without gaps" if given else "it has no names",
            hint="write names: [cat, dog], or names: {0: cat, 1: dog}",
        )
    return tuple(str(name) for name in given)
