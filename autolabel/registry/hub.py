"""Fetching checkpoints from the hub into its own cache: resumed, checked, then put in place.

The hub's client throws a partial file away when a download breaks, so that files are fetched here,
in the layout that the client reads: `blobs/ETAG`, `snapshots/COMMIT/NAME` and, once all is there,
`refs/main` with the commit. Later use is the same commit.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from autolabel.errors import AutolabelError

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

WANTED = ("*.json", "*.txt", "*.model")
"""Configuration and vocabularies at the top of a repository; never code."""
WEIGHTS = (("model.safetensors", "model-*.safetensors"), ("pytorch_model*.bin",))
"""The kinds of weights, the better first; the second is read as tensors and nothing else."""

SECONDS_TO_ANSWER = 10.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Pulled:
    """A checkpoint in the hub's cache.

    Attributes:
        path: the folder of the commit.
        commit: 40 hex digits.
        files: how many it holds.
        size: bytes of all files.
        fetched: bytes that came over the network this time.
    """

    path: Path
    commit: str
    files: int
    size: int
    fetched: int


@dataclass(frozen=True)
class Cached:
    """A whole checkpoint that is on this machine.

    Attributes:
        path: the folder of the commit.
        commit: the one that was first pulled, to which it stays pinned.
        size: bytes of all files.
    """

    path: Path
    commit: str
    size: int


def cached(hub_id: str) -> Cached | None:
    """A checkpoint in the hub's cache, whoever put it there; None where its weights lack a part."""
    ref = home(hub_id) / "refs/main"
    commit = ref.read_text("utf-8").strip() if ref.is_file() else ""
    folder = home(hub_id) / "snapshots" / commit
    if not re.fullmatch(r"[0-9a-f]{40}", commit) or not (folder / "config.json").is_file():
        return None
    names = [path.name for path in folder.iterdir() if path.is_file()]
    if not _weights(names) or not all((folder / name).is_file() for name in _parts(folder)):
        return None
    return Cached(folder, commit, sum((folder / name).stat().st_size for name in names))


def _parts(folder: Path) -> set[str]:
    """The files that an index of weights names."""
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (folder / index).is_file():
            try:
                return set(json.loads((folder / index).read_text("utf-8"))["weight_map"].values())
            except (ValueError, LookupError, TypeError, AttributeError):
                return set()
    return set()


def home(hub_id: str) -> Path:
    """Where the hub's cache keeps a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def offline() -> None:
    """Forbid the network to this process and those that it starts."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def pull(hub_id: str, say: Callable[[str], None] = lambda line: None) -> Pulled:
    """Fetch what a checkpoint needs; a broken download goes on where it stopped.

    Raises:
        AutolabelError: the hub refuses, does not answer, or sends something else than it states.
    """
    from huggingface_hub import HfApi

    cache = home(hub_id)
    ref = cache / "refs/main"
    known = ref.read_text("utf-8").strip() if ref.is_file() else None
    try:
        info = HfApi().model_info(hub_id, revision=known, timeout=SECONDS_TO_ANSWER)
        commit = _hex(info.sha, (40,), hub_id)
        names = _chosen([s.rfilename for s in info.siblings or ()], hub_id)
        got = [_file(hub_id, commit, name, cache, say) for name in names]
    except AutolabelError:
        raise
    except Exception as e:  # the client raises what its HTTP library does
        if isinstance(e, OSError) and e.errno is not None:
            raise  # the disk's, not the network's
        raise _refused(hub_id, e) from e
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(commit, "utf-8")
    sizes, fetched = zip(*got, strict=True)
    return Pulled(cache / "snapshots" / commit, commit, len(names), sum(sizes), sum(fetched))


def _chosen(names: list[str], hub_id: str) -> list[str]:
    """What to fetch of a repository's files: one kind of weights, and what goes with them."""
    weights = _weights(names)
    if "config.json" not in names or not weights:
        raise AutolabelError(
            f"{hub_id} has no config.json with model.safetensors or pytorch_model.bin",
            hint="name a checkpoint in the format of transformers: autolabel models lists some",
        )
    return sorted({*weights, *(name for name in names if _like(name, WANTED))})


def _weights(names: list[str]) -> list[str]:
    kinds = ([name for name in names if _like(name, patterns)] for patterns in WEIGHTS)
    return next(filter(None, kinds), [])


def _like(name: str, patterns: tuple[str, ...]) -> bool:
    return "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _hex(text: str | None, lengths: tuple[int, ...], hub_id: str) -> str:
    """A hash that becomes a file's name, so that it must be one."""
    if not text or len(text) not in lengths or not re.fullmatch(r"[0-9a-f]+", text):
        raise AutolabelError(
            f"the hub states no hash for a file of {hub_id}", hint="try again, or check HF_ENDPOINT"
        )
    return text


def _file(
    hub_id: str, commit: str, name: str, cache: Path, say: Callable[[str], None]
) -> tuple[int, int]:
    """Fetch and check one file: its bytes, and those of them that had to be fetched."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(hub_id, name, revision=commit)
    stated = get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER)
    etag, size = _hex(stated.etag, (40, 64), hub_id), int(stated.size or 0)
    blob = cache / "blobs" / etag
    blob.parent.mkdir(parents=True, exist_ok=True)
    fetched = 0
    with FileLock(blob.with_name(f"{etag}.lock")):  # another process may fetch the same
        if not (blob.is_file() and _is_whole(blob, etag, size)):
            say(f"{name}: {size / 1e6:.1f} MB")
            part = blob.with_name(f"{etag}.part")
            fetched = _resume(url, part, size)
            if not _is_whole(part, etag, size):
                part.unlink()
                raise AutolabelError(
                    f"{name} of {hub_id} is not what the hub states: its checksum differs",
                    hint="run the same command again; the broken file is gone",
                )
            part.replace(blob)
    link = cache / "snapshots" / commit / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(Path("../../blobs") / etag)
    return size, fetched


def _resume(url: str, part: Path, size: int) -> int:
    """Append what is missing; the bytes that came."""
    from huggingface_hub import get_session

    utils: Any = importlib.import_module("huggingface_hub.utils")
    have = part.stat().st_size if part.is_file() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size and part.is_file():
        return 0
    headers = {**utils.build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    client: Any = get_session()
    fetched = 0
    with client.stream(
        "GET", url, headers=headers, follow_redirects=True, timeout=SECONDS_TO_ANSWER
    ) as answer:
        utils.hf_raise_for_status(answer)
        with part.open("ab" if answer.status_code == 206 else "wb") as file:
            for chunk in answer.iter_bytes():  # as they come, so that a break loses none
                file.write(chunk)
                fetched += len(chunk)
    return fetched


def _is_whole(path: Path, etag: str, size: int) -> bool:
    """Whether a file has the size and hash stated: sha256 of large files, git's sha1 of others."""
    if path.stat().st_size != size:
        return False
    digest = hashlib.sha256() if len(etag) == 64 else hashlib.sha1(f"blob {size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == etag


def _refused(hub_id: str, error: Exception) -> AutolabelError:
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        return AutolabelError(
            f"cannot fetch {hub_id}: the network is off",
            hint="leave out --offline and HF_HUB_OFFLINE",
        )
    if isinstance(error, GatedRepoError) or status in (401, 403):
        return AutolabelError(
            f"cannot fetch {hub_id}: it does not exist, or needs leave from its publisher",
            hint="accept its licence on its page, log in (hf auth login), then "
            f"autolabel models pull {hub_id}",
        )
    if status == 404:
        return AutolabelError(
            f"the hub has no {hub_id}", hint="autolabel models lists the names and hub ids"
        )
    return AutolabelError(
        f"cannot fetch {hub_id}: the hub does not answer ({type(error).__name__})",
        hint=f"run the same again to go on: autolabel models pull {hub_id}",
    )
