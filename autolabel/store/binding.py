"""What a product is bound to: all that it was made of, noted with it as JSON values.

Layers, exports, students, the report and the evaluation are each current for as long as what was
noted when they were made is what they would be made of now. Where the note lies differs: a
layer's is its manifest, an export's and a student's a file of its own, the report's its last line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autolabel.reading import read_json

Binding = Mapping[str, Any]


def read_note(path: Path) -> dict[str, Any]:
    """Return what a JSON file notes; empty where it is missing, damaged or not an object."""
    try:
        note = read_json(path)
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def is_current(path: Path, binding: Binding, read: Callable[[Path], Binding] = read_note) -> bool:
    """Say whether a product's note holds every value that binds it now.

    Args:
        path: of the note, which need not exist.
        binding: what the product would be made of now; other keys of the note do not count.
        read: gives what is noted in a file; empty where that is of no use.
    """
    noted = read(path)
    return all(key in noted and noted[key] == value for key, value in binding.items())


def changes(old: Binding, new: Binding, words: Mapping[str, str] | None = None) -> list[str]:
    """Return what two bindings differ in, in words.

    Settings, and the parts of `model`, are told one by one.

    Args:
        old: what was noted.
        new: what is wanted.
        words: what to say of a key whose values tell a person nothing.

    >>> changes({"settings": {"epochs": 10}, "labels": "5f"}, {"settings": {"epochs": 20}})
    ['labels 5f, not null', 'epochs 10, not 20']
    >>> changes({"model": {"revision": "a"}}, {"model": {"revision": "b"}})
    ['model revision a, not b']
    """
    flat_old, flat_new, said = _flat(old), _flat(new), words or {}
    keys = [k for k in flat_old | flat_new if flat_old.get(k) != flat_new.get(k)]
    return [
        said.get(k, f"{k} {_shown(flat_old.get(k))}, not {_shown(flat_new.get(k))}") for k in keys
    ]


def _flat(binding: Binding) -> dict[str, Any]:
    flat = {k: v for k, v in binding.items() if k not in ("settings", "model")}
    flat.update(binding.get("settings") or {})
    flat.update({f"model {k}": v for k, v in (binding.get("model") or {}).items()})
    return flat


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
