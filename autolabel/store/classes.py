"""The ids of a workspace's classes: names in the order of their ids, to which others are added.

The file ``classes.json`` holds ``{"names": ["cat", "dog"]}``. A name never leaves it and never
moves, so that an id means the same class in every export, whatever is looked for later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.reading import read_json
from autolabel.store.files import not_writable, write_atomic
from autolabel.store.workspace import Workspace

CLASSES = "classes.json"
_LARGEST = 1 << 22
_NAMED_BY = "detect"
"""The layer whose settings name the classes of a workspace that is older than the file."""


def locked_names(workspace: Workspace) -> tuple[str, ...]:
    """Return the classes of a workspace in the order of their ids 0, 1, 2, …

    Those that were detected and have no id of their own yet, as in a workspace of an older
    version, come last, in the order of the prompts. Nothing is written.

    Raises:
        AutolabelError: ``classes.json`` is damaged.
    """
    return tuple(dict.fromkeys((*_read(workspace.path / CLASSES), *_detected(workspace))))


def lock_names(workspace: Workspace, names: Iterable[str]) -> tuple[str, ...]:
    """Give ids to classes that have none yet, after all others; needs the workspace's lock.

    Args:
        workspace: whose classes they become.
        names: in the order in which new ones get their ids; those that have one keep it.

    Returns:
        All classes in the order of their ids.

    Raises:
        AutolabelError: ``classes.json`` is damaged, or cannot be written.
        ValueError: a name is empty.
    """
    path = workspace.path / CLASSES
    wanted = tuple(dict.fromkeys((*locked_names(workspace), *names)))
    if not all(wanted):
        raise ValueError("a class needs a name")
    if wanted != _read(path):
        text = json.dumps({"names": wanted}, ensure_ascii=False, indent=1) + "\n"
        try:
            write_atomic(path, text.encode())
        except OSError as e:
            raise not_writable(workspace.path, e) from e
    return wanted


def _detected(workspace: Workspace) -> tuple[str, ...]:
    layer = workspace.layer(_NAMED_BY)
    found = layer.manifest.settings.get("ontology") if layer.exists else None
    return Ontology.from_mapping(found).names if found else ()


def _read(path: Path) -> tuple[str, ...]:
    try:
        data = read_json(path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError) as e:
        raise _damaged(path, getattr(e, "strerror", None) or e) from None
    names = data.get("names") if isinstance(data, dict) else None
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names):
        raise _damaged(path, "its names are not a list of texts")
    if len(set(names)) < len(names):
        raise _damaged(path, "a name is in it twice")
    return tuple(names)


def _damaged(path: Path, why: Any) -> AutolabelError:
    return AutolabelError(
        f"{path} does not list the classes: {why}",
        hint='write {"names": ["cat", "dog"]} into it, in the order of the ids that an export of '
        "this workspace has, or delete it to number the classes anew",
    )
