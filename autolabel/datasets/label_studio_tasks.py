"""Which annotation of each of Label Studio's tasks counts, who made it, and of which image.

Exports come as JSON (tasks with annotations and predictions) and as JSON-MIN (a row for each
annotation, its regions under the names of the tags): https://labelstud.io/guide/export.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from autolabel.datasets.label_studio_regions import Person, Region, regions_of
from autolabel.errors import AutolabelError
from autolabel.ops.images import IMAGE_SUFFIXES

_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of a file that is uploaded."""
_SIZES = ("original_width", "original_height")
_HINT = "export the project as JSON; tasks that nobody has annotated hold no labels"


@dataclass(frozen=True)
class Task:
    """One image, and what was said of it.

    Attributes:
        names: of the image, path or name, as `image_names` returns them.
        regions: what was said.
        person: who said it, None where it was a model.
    """

    names: Sequence[str]
    regions: Sequence[Region]
    person: Person | None


def tasks_of(data: Any, field: str | None, skipped: Counter[str]) -> list[Task]:
    """Return the tasks of an export that say what is in their image.

    Args:
        data: the content of a JSON or JSON-MIN export, or of tasks with predictions.
        field: of a task's data, that holds the image; None to take the first that looks like it.
        skipped: counts what is passed over.

    Raises:
        AutolabelError: it is none, or nobody has said anything.
    """
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise AutolabelError("it is not a list of tasks", hint=_HINT)
    rows = _flat(data) if data and "annotation_id" in data[0] else data
    chosen = [_annotation(row, skipped) for row in rows]
    people = any(one is not None for one in chosen)
    found = []
    for number, (row, one) in enumerate(zip(rows, chosen, strict=True), 1):
        person = None if one is None else _person(one)
        said = one if people else _last(row.get("predictions"))
        names = image_names(row, field)
        if said is None or not names:
            skipped["tasks without an annotation" if names else "tasks without an image"] += 1
            continue
        try:
            found.append(Task(names, regions_of(said.get("result")), person))
        except AutolabelError as e:
            raise AutolabelError(f"task {number}: {e.message}", hint=e.hint) from None
    if not found:
        raise AutolabelError("no task in it says what is in its image", hint=_HINT)
    return found


def _flat(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a JSON-MIN export as tasks, all annotations of one image in one."""
    tasks: dict[object, dict[str, Any]] = {}
    for i, row in enumerate(rows):
        key = row.get("id")
        task = tasks.setdefault(
            key if isinstance(key, int | str) else (i,), {"data": row, "annotations": []}
        )
        results = [
            {"type": None, "value": value, **{k: v for k, v in value.items() if k in _SIZES}}
            for column in row.values()
            if isinstance(column, list)
            for value in column
            if isinstance(value, dict)
        ]
        annotation = {"result": results, "completed_by": row.get("annotator")}
        times = {key: row.get(key) for key in ("created_at", "updated_at")}
        task["annotations"].append({**annotation, **times})
    return list(tasks.values())


def _annotation(task: Mapping[str, Any], skipped: Counter[str]) -> dict[str, Any] | None:
    """Return the annotation of a task that counts, if there is one."""
    given = task.get("annotations")
    all_ = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    done = [one for one in all_ if not (one.get("was_cancelled") or one.get("skipped"))]
    skipped["cancelled annotations"] += len(all_) - len(done)
    if not done:
        return None
    skipped["annotations that another one of their task replaces"] += len(done) - 1
    return max(done, key=lambda one: (bool(one.get("ground_truth")), _when(one) or ""))


def _last(predictions: object) -> dict[str, Any] | None:
    given = predictions if isinstance(predictions, list) else []
    return next((one for one in reversed(given) if isinstance(one, dict)), None)


def _person(annotation: Mapping[str, Any]) -> Person:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    known = isinstance(who, int | str) and not isinstance(who, bool) and who != ""
    return Person(str(who)[:200] if known else None, _when(annotation))


def _when(annotation: Mapping[str, Any]) -> str | None:
    when = annotation.get("updated_at") or annotation.get("created_at")
    return when[:40] if isinstance(when, str) else None


def image_names(task: Mapping[str, Any], field: str | None = None) -> list[str]:
    """Return the names that a task's image may be found by, the likeliest first.

    Of a file that was uploaded that is the name that it had, of one that Label Studio serves from
    a folder the path below its document root, of an address its path. Nothing is ever fetched.

    Args:
        task: with `data`.
        field: of the data, that holds the image; None for ``image``, or the first that names one.

    >>> image_names({"data": {"image": "/data/upload/7/0a1b2c3d-cat%201.jpg"}})
    ['cat 1.jpg', '0a1b2c3d-cat 1.jpg']
    >>> image_names({"data": {"photo": "/data/local-files/?d=photos/cat%201.jpg"}})
    ['photos/cat 1.jpg', 'cat 1.jpg']
    >>> image_names({"data": {"image": "s3://bucket/photos/cat.jpg?versionId=1"}})
    ['photos/cat.jpg', 'cat.jpg']
    """
    data = task["data"] if isinstance(task.get("data"), dict) else {}
    named = data.get(field or "image")
    values = [named, *data.values(), task.get("file_upload")]
    paths = [_path(value) for value in values if isinstance(value, str) and len(value) < 10_000]
    pictured = (path for path in paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES)
    path = next(pictured, paths[0] if isinstance(named, str) and paths else "")
    stored = path.replace("\\", "/").rsplit("/", 1)[-1]
    uploaded = "upload/" in f"/{path}" or path == task.get("file_upload")
    original = _UPLOAD.sub("", stored, count=1) if uploaded else path
    return [name for name in dict.fromkeys([original, stored]) if name]


def _path(value: str) -> str:
    """Return the path in an address, as the file is called; other values as they are."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return value
    if parts.path.rstrip("/").endswith("/data/local-files"):
        return unquote(parts.query.removeprefix("d="))
    if parts.scheme.lower() in _SCHEMES or parts.path.startswith("/data/"):
        return unquote(parts.path).lstrip("/")
    return value


_SCHEMES = frozenset({"http", "https", "s3", "gs", "azure-blob", "azure_spi", "dbfs"})
