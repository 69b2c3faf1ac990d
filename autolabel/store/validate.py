"""What a workspace must be before it is believed: workspaces are passed between people.

When one is opened, each file's kind and each manifest is looked at. What shards must hold is in
`autolabel.store.shards`.
"""

from __future__ import annotations

import os
import re
import stat
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from autolabel.config import Config
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.plugins import named
from autolabel.reading import read_json
from autolabel.sources import from_uri
from autolabel.store.manifest import Manifest
from autolabel.store.shards import SHARD

STAGES = "autolabel.stages.table:STAGES"
"""Stage -> what it is; looked up by name, as the room that holds it knows the store."""
LARGEST_MANIFEST = 2**26
"""Bytes; one that notes 100,000 shards takes 8 MB."""
_LAYER = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}(/[A-Za-z0-9_][\w.-]{0,99})?", re.ASCII)
_HINT = "something else has changed it: take it from a backup, or move the layer away and run it"
OUTSIDE = "outside"
"""Key in `origin` of `scan`: folders beside the source root that photos were ingested from."""


# -- manifests ----------------------------------------------------------------------------------


def manifest_of(data: Any) -> Manifest:
    """Return a manifest from JSON values.

    Raises:
        ValueError: something is missing, unknown, of another type or out of range.
    """
    if not isinstance(data, dict):
        raise ValueError("it is not a manifest")
    types = _types()
    unknown = sorted(map(str, data.keys() - types.keys()))
    if unknown:
        raise ValueError(f"its key {unknown[0][:80]!r} is unknown")
    for key, value in data.items():
        try:
            types[key].validate_python(value, strict=True)
        except ValidationError as e:
            first = e.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in (key, *first["loc"]))
            raise ValueError(f"{where[:80]}: {first['msg']}") from None
    try:
        manifest = Manifest(**data)
    except TypeError:
        raise ValueError("it names no stage") from None
    _check_settings(manifest)
    _check_origin(manifest.origin)
    source = manifest.source
    if source is not None and not is_layer_name(source.get("layer", "")):
        raise ValueError("source.layer names no layer")
    if source is not None and "fingerprint" not in source:
        raise ValueError("source.fingerprint is missing")
    if not 0 <= manifest.shards <= 10**9:
        raise ValueError(f"shards cannot be {manifest.shards}")
    if any(not re.fullmatch(r"\d{1,9}", key) for key in (*manifest.digests, *manifest.made_from)):
        raise ValueError("digests are of no shards")
    if "\0" in (manifest.source_root or "") or len(manifest.source_root or "") > 4096:
        raise ValueError("source_root is not a path")
    return manifest


@cache
def _types() -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(kind) for name, kind in typing.get_type_hints(Manifest).items()}


def _check_settings(manifest: Manifest) -> None:
    """See that settings are what their stage takes; those of older versions are left alone."""
    entry = named(STAGES).get(manifest.stage)
    options: type[Config] | None = entry.config if entry else None
    for key in manifest.settings if options else ():
        if options and key in options.model_fields and key not in options.HOW:
            try:
                _option(options, key).validate_python(manifest.settings[key])
            except ValidationError as e:
                first = e.errors(include_url=False, include_input=False)[0]
                raise ValueError(f"settings.{key}: {first['msg']}") from None
    if "ontology" in manifest.settings:
        _check_ontology(manifest.settings["ontology"])


def _check_origin(origin: Mapping[str, Any]) -> None:
    for key in ("holdout", "source", "classes"):
        listed = origin.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValueError(f"origin.{key} is not a list of texts")
    for key in ("model", "clip", "dinov2", "examples", "crowds"):
        if not isinstance(origin.get(key, ""), str) or "\0" in origin.get(key, ""):
            raise ValueError(f"origin.{key} is not text")
    if not re.fullmatch(r"[\w.-]*", origin.get("crowds", "")):
        raise ValueError("origin.crowds is not the name of a file")
    if "ontology" in origin:
        _check_ontology(origin["ontology"])


def _check_ontology(data: Any) -> None:
    try:
        Ontology.from_mapping(data)
    except AutolabelError as e:
        raise ValueError(f"its ontology: {e.message}") from None


@cache
def _option(options: type[Config], key: str) -> TypeAdapter[Any]:
    field = options.model_fields[key]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]


def is_layer_name(name: str) -> bool:
    """Say whether a name is a layer's, such as `embed/clip`, and so never leads elsewhere."""
    return _LAYER.fullmatch(name) is not None


def check_sources(manifests: Mapping[str, Manifest], workspace: Path) -> None:
    """See that no layer was made from itself.

    Raises:
        AutolabelError: one was; the message names its manifest.
    """
    for name in manifests:
        seen, at = {name}, manifests[name].source
        while at is not None and at["layer"] in manifests:
            if at["layer"] in seen:
                raise AutolabelError(
                    f"{workspace / name / 'manifest.json'}: its source leads back to itself",
                    hint=_HINT,
                )
            seen.add(at["layer"])
            at = manifests[at["layer"]].source


# -- files --------------------------------------------------------------------------------------


def check_folder(workspace: Path, groups: Iterable[str]) -> list[str]:
    """See that what will be read or written in a workspace lies in it and can be read at once.

    Args:
        workspace: its folder, which need not exist.
        groups: folders in it that hold layers themselves.

    Returns:
        Files that look like shards but are none, relative to the workspace.

    Raises:
        AutolabelError: a link, a pipe or the like is in the place of a folder or file.
    """
    if not workspace.is_dir():
        return []
    for path in sorted(workspace.iterdir()):
        ours = path.name.startswith(".") or path.name in groups or _is_layer(path)
        if path.is_symlink() and (ours or path.suffix == ".yaml"):
            raise AutolabelError(
                f"{path} is a link", hint="put the folder or file itself there; links are not read"
            )
        if not ours or not path.is_dir():
            _refuse_special(path)
    strays: list[str] = []
    for folder in sorted(p for g in ("", *groups) for p in (workspace / g).glob("*")):
        if folder.is_dir() and _is_layer(folder):
            strays += [str(p.relative_to(workspace)) for p in _check_layer(folder)]
    return strays


def _is_layer(folder: Path) -> bool:
    return os.path.lexists(folder / "manifest.json")


def _check_layer(folder: Path) -> list[Path]:
    strays = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.suffix in (".json", ".parquet"):
                raise AutolabelError(
                    f"{path} is a folder", hint="take it away: a file belongs there"
                )
            continue
        if path.name.startswith("part-") and not SHARD.fullmatch(path.name):
            strays.append(path)
            continue
        if path.is_symlink():
            raise AutolabelError(f"{path} is a link", hint="put the file itself there")
        _refuse_special(path)
    return strays


def _refuse_special(path: Path) -> None:
    mode = path.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
        raise AutolabelError(f"{path} is not a regular file", hint="take it away")


# -- where photos lie ---------------------------------------------------------------------------


def check_uris(uris: Iterable[str], workspace: Path) -> None:
    """See that photos lie in the source root, or where `ingest` found them in this very folder.

    A copy of a workspace is another folder, so what it allows elsewhere counts for nothing there.

    Args:
        uris: of the photos.
        workspace: its folder.

    Raises:
        ValueError: one does not.
    """
    odd = [uri for uri in uris if _may_climb(uri)]
    if not odd:
        return
    scan = _read(workspace / "scan") or _read(workspace / "images")
    # Without a root nothing can be told to lie in it.
    root = (scan and scan.source_root) or f"{os.sep}no source root"
    allowed = [os.path.normpath(root), *_allowed_outside(scan, workspace)]
    for uri in odd:
        path = from_uri(uri, Path(root))
        if not any(path.is_relative_to(folder) for folder in allowed):
            raise ValueError(
                f"it names a photo outside of {root}: {path}; autolabel ingest allows its folder"
            )


def _may_climb(uri: str) -> bool:
    return ".." in uri or uri.startswith(("/", "\\", "file:")) or ":" in uri[:2]


def _read(layer: Path) -> Manifest | None:
    try:
        return manifest_of(read_json(layer / "manifest.json"))
    except (OSError, ValueError):
        return None


def _allowed_outside(scan: Manifest | None, workspace: Path) -> list[str]:
    noted = scan.origin.get(OUTSIDE) if scan else None
    if not isinstance(noted, dict) or noted.get("workspace") != workspace.stat().st_ino:
        return []
    folders = noted.get("folders")
    return [f for f in folders if isinstance(f, str)] if isinstance(folders, list) else []


def outside(paths: Iterable[Path], root: Path, workspace: Path) -> dict[str, Any]:
    """Return the `origin` of the layer `scan` that allows photos beside the source root.

    Args:
        paths: of the photos.
        root: the source root.
        workspace: its folder; what it allows already stays.
    """
    folders = {str(path.parent) for path in paths if not path.is_relative_to(root)}
    folders.update(_allowed_outside(_read(workspace / "scan"), workspace))
    kept: list[str] = []
    for folder in sorted(folders):
        if not any(Path(folder).is_relative_to(one) for one in kept):
            kept.append(folder)
    return {OUTSIDE: {"workspace": workspace.stat().st_ino, "folders": kept}} if kept else {}
