"""Checkpoints in the hub's own cache: which are there, and whether they are whole.

A model stays at the commit that was first used here. That commit, and the files that the checkpoint
was found to need, stand in a file of our own beside the snapshots, `autolabel.json`; `refs/main`,
which belongs to the hub's client and whoever uses it, is read and never written.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.reading import read_json
from autolabel.registry.checksums import weights_among
from autolabel.registry.download import is_hash

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

WANTED = ("*.json", "*.txt", "*.model")
"""Configuration and vocabularies at the top of a repository; never code."""
ORIGINALS = ("*.pt", "*.pth")
"""What is taken of a repository that holds one such file and no checkpoint of transformers."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")

PIN = "autolabel.json"


@dataclass(frozen=True)
class Cached:
    """A whole checkpoint that is on this machine.

    Attributes:
        path: the folder of the commit, or the original file in it.
        commit: the one that was first used, to which it stays pinned.
        size: bytes of all files.
    """

    path: Path
    commit: str
    size: int


def cached(hub_id: str, *, bare: bool = False) -> Cached | None:
    """Return a checkpoint in the hub's cache, whoever put it there; None where it lacks a file.

    Args:
        hub_id: `owner/name`.
        bare: whether it needs no more than its weights, as one that a plugin's adapter runs may.
    """
    commit, needed = pinned(hub_id) or (main_commit(hub_id), None)
    folder = home(hub_id) / "snapshots" / commit
    if not commit or not folder.is_dir():
        return None
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    whole = _looks_whole(folder, names, bare) if needed is None else needed <= set(names)
    if not whole:
        return None
    return Cached(place_of(folder, names), commit, sum((folder / n).stat().st_size for n in names))


def keep(hub_id: str, commit: str) -> None:
    """Pin a checkpoint that another program fetched to the commit that it is at."""
    folder = home(hub_id) / "snapshots" / commit
    if pinned(hub_id) is None:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        with contextlib.suppress(OSError):  # a cache that is shared and not ours to write to
            pin(hub_id, commit, chosen(names, hub_id))


def snapshots(hub_id: str) -> list[Path]:
    """Return all folders that the cache holds of a repository, whole or not; that in use first."""
    known, main = pinned(hub_id), main_commit(hub_id)
    first = [known[0] if known else "", main]
    folders = [path for path in (home(hub_id) / "snapshots").glob("*") if path.is_dir()]
    return sorted(folders, key=lambda p: first.index(p.name) if p.name in first else len(first))


def pinned(hub_id: str) -> tuple[str, set[str]] | None:
    """Return the commit that is in use, and the files that it needs."""
    try:
        content = read_json(home(hub_id) / PIN)
        commit, files = content["commit"], set(map(str, content["files"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return (commit, files) if is_hash(str(commit), 40) else None


def pin(hub_id: str, commit: str, names: Iterable[str]) -> None:
    file = home(hub_id) / PIN
    temporary = file.with_name(f"{PIN}.{os.getpid()}")
    temporary.write_text(json.dumps({"commit": commit, "files": sorted(names)}), "utf-8")
    temporary.replace(file)


def main_commit(hub_id: str) -> str:
    """Return the commit that the hub's client has last seen; empty where there is none."""
    ref = home(hub_id) / "refs/main"
    commit = ref.read_text("utf-8").strip() if ref.is_file() else ""
    return commit if is_hash(commit, 40) else ""


def _looks_whole(folder: Path, names: list[str], bare: bool) -> bool:
    """Tell whether another program has fetched all that we need, as far as names tell."""
    weights = weights_among(names)
    if "config.json" not in names or not weights or not _parts(folder, weights) <= set(names):
        return False
    if bare:
        return True
    texts = b'"text_config"' in (folder / "config.json").read_bytes()
    return any_like(names, PROCESSORS) and (not texts or any_like(names, VOCABULARIES))


def _parts(folder: Path, weights: list[str]) -> set[str]:
    """Return the files that the index of these weights names; none where they are a single file."""
    if "model.safetensors" in weights or "pytorch_model.bin" in weights:
        return set()
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if weights[0].startswith(index.partition(".")[0]) and (folder / index).is_file():
            try:
                return set(read_json(folder / index)["weight_map"].values())
            except (ValueError, LookupError, TypeError, AttributeError):
                return set()
    return set()


def place_of(folder: Path, names: Iterable[str]) -> Path:
    """Return the checkpoint itself: the folder, or the one original file in it."""
    original = _original(list(names))
    return folder / original if original else folder


def _original(names: list[str]) -> str:
    """Return the one original file of a repository without transformers weights; else empty."""
    found = [name for name in names if any_like([name], ORIGINALS)]
    return found[0] if len(found) == 1 and not weights_among(names) else ""


def any_like(names: Iterable[str], patterns: tuple[str, ...]) -> bool:
    return any(
        "/" not in name and fnmatch.fnmatchcase(name, pattern)
        for name in names
        for pattern in patterns
    )


def home(hub_id: str) -> Path:
    """Return where the hub's cache keeps a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def chosen(names: list[str], hub_id: str) -> list[str]:
    """Return which files to fetch: one kind of weights, and what goes with them."""
    original = _original(names)
    if original:
        return [original]
    weights = weights_among(names)
    if "config.json" not in names or not weights:
        raise AutolabelError(
            f"{hub_id} has no config.json with model.safetensors or pytorch_model.bin",
            hint="name a checkpoint in the format of transformers: autolabel models lists some",
        )
    return sorted({*weights, *(name for name in names if any_like([name], WANTED))})
