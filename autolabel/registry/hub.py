"""Checkpoints in the hub's own cache: which are whole, and fetching those that are not.

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
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.reading import read_json
from autolabel.registry import download
from autolabel.registry.checksums import weights_among
from autolabel.registry.download import Stated, is_hash, patiently

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

WANTED = ("*.json", "*.txt", "*.model")
"""Configuration and vocabularies at the top of a repository; never code."""
ORIGINALS = ("*.pt", "*.pth")
"""What is taken of a repository that holds one such file and no checkpoint of transformers."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model")

FILES_AT_ONCE = 4
LARGEST_WANTED_BYTES = 200_000_000
"""No configuration or vocabulary is as large."""

PIN = "autolabel.json"


@dataclass(frozen=True)
class Pulled:
    """A checkpoint in the hub's cache.

    Attributes:
        path: the folder of the commit, or the original file in it.
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
        path: the folder of the commit, or the original file in it.
        commit: the one that was first used, to which it stays pinned.
        size: bytes of all files.
    """

    path: Path
    commit: str
    size: int


def cached(hub_id: str, *, bare: bool = False) -> Cached | None:
    """A checkpoint in the hub's cache, whoever put it there; None where it lacks a file.

    Args:
        hub_id: `owner/name`.
        bare: whether it needs no more than its weights, as one that a plugin's adapter runs may.
    """
    commit, needed = _pinned(hub_id) or (_main(hub_id), None)
    folder = home(hub_id) / "snapshots" / commit
    if not commit or not folder.is_dir():
        return None
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    whole = _looks_whole(folder, names, bare) if needed is None else needed <= set(names)
    if not whole:
        return None
    return Cached(_at(folder, names), commit, sum((folder / n).stat().st_size for n in names))


def keep(hub_id: str, commit: str) -> None:
    """Pin a checkpoint that another program fetched to the commit that it is at."""
    folder = home(hub_id) / "snapshots" / commit
    if _pinned(hub_id) is None:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        with contextlib.suppress(OSError):  # a cache that is shared and not ours to write to
            _pin(hub_id, commit, _chosen(names, hub_id))


def snapshots(hub_id: str) -> list[Path]:
    """Every folder that the cache holds of a repository, whole or not; that in use comes first."""
    pinned, main = _pinned(hub_id), _main(hub_id)
    first = [pinned[0] if pinned else "", main]
    folders = [path for path in (home(hub_id) / "snapshots").glob("*") if path.is_dir()]
    return sorted(folders, key=lambda p: first.index(p.name) if p.name in first else len(first))


def _pinned(hub_id: str) -> tuple[str, set[str]] | None:
    """The commit that is in use, and the files that it needs."""
    try:
        content = read_json(home(hub_id) / PIN)
        commit, files = content["commit"], set(map(str, content["files"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return (commit, files) if is_hash(str(commit), 40) else None


def _pin(hub_id: str, commit: str, names: Iterable[str]) -> None:
    file = home(hub_id) / PIN
    temporary = file.with_name(f"{PIN}.{os.getpid()}")
    temporary.write_text(json.dumps({"commit": commit, "files": sorted(names)}), "utf-8")
    temporary.replace(file)


def _main(hub_id: str) -> str:
    """The commit that the hub's client has last seen; empty where there is none."""
    ref = home(hub_id) / "refs/main"
    commit = ref.read_text("utf-8").strip() if ref.is_file() else ""
    return commit if is_hash(commit, 40) else ""


def _looks_whole(folder: Path, names: list[str], bare: bool) -> bool:
    """Whether another program has fetched all that we need, as far as names tell."""
    weights = weights_among(names)
    if "config.json" not in names or not weights or not _parts(folder, weights) <= set(names):
        return False
    if bare:
        return True
    texts = b'"text_config"' in (folder / "config.json").read_bytes()
    return _any_like(names, PROCESSORS) and (not texts or _any_like(names, VOCABULARIES))


def _parts(folder: Path, weights: list[str]) -> set[str]:
    """The files that the index of these weights names; none where they are a single file."""
    if "model.safetensors" in weights or "pytorch_model.bin" in weights:
        return set()
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if weights[0].startswith(index.partition(".")[0]) and (folder / index).is_file():
            try:
                return set(read_json(folder / index)["weight_map"].values())
            except (ValueError, LookupError, TypeError, AttributeError):
                return set()
    return set()


def _at(folder: Path, names: Iterable[str]) -> Path:
    """The checkpoint itself: the folder, or the one original file in it."""
    original = _original(list(names))
    return folder / original if original else folder


def _original(names: list[str]) -> str:
    """The one original file of a repository without a checkpoint of transformers; else empty."""
    found = [name for name in names if _any_like([name], ORIGINALS)]
    return found[0] if len(found) == 1 and not weights_among(names) else ""


def _any_like(names: Iterable[str], patterns: tuple[str, ...]) -> bool:
    return any(
        "/" not in name and fnmatch.fnmatchcase(name, pattern)
        for name in names
        for pattern in patterns
    )


def home(hub_id: str) -> Path:
    """Where the hub's cache keeps a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"


def offline() -> None:
    """Forbid the network to this process and those that it starts."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def pull(hub_id: str, say: Callable[[str], None] = lambda line: None) -> Pulled:
    """Fetch what a checkpoint needs and is not here; a broken download goes on where it stopped.

    A checkpoint that another program has begun to fetch is completed at the commit that it is at.

    Raises:
        AutolabelError: the hub refuses, does not answer, or sends something else than it states.
    """
    known = _pinned(hub_id)
    main = _main(hub_id)
    begun = main if (home(hub_id) / "snapshots" / main).is_dir() else ""
    files: list[Stated] = []
    try:
        files = _stated(hub_id, (known[0] if known else begun) or None)
        fetched = _files(hub_id, files, say)
    except AutolabelError:
        raise
    except Exception as e:  # the client raises what its HTTP library does
        if files and isinstance(e, OSError) and e.errno is not None:
            raise  # the disk's, not the network's: nothing is written before
        raise _refused(hub_id, e) from e
    names, commit = [one.name for one in files], files[0].commit
    _pin(hub_id, commit, names)
    path = _at(home(hub_id) / "snapshots" / commit, names)
    return Pulled(path, commit, len(files), sum(one.size for one in files), fetched)


def _stated(hub_id: str, revision: str | None) -> list[Stated]:
    """What the hub says of each file that is to be fetched."""
    from huggingface_hub import HfApi, constants

    info = patiently(
        lambda: HfApi().model_info(
            hub_id,
            revision=revision,
            files_metadata=True,
            timeout=float(constants.HF_HUB_ETAG_TIMEOUT),
        ),
        first=True,
    )
    if not is_hash(info.sha, 40):
        raise AutolabelError(
            f"the hub states no commit of {hub_id}", hint="try again, or check HF_ENDPOINT"
        )
    siblings = {one.rfilename: one for one in info.siblings or ()}
    names = _chosen(list(siblings), hub_id)
    return [_one(hub_id, str(info.sha), siblings[name]) for name in names]


def _one(hub_id: str, commit: str, sibling: Any) -> Stated:
    """What the hub says of a file; mirrors that leave the hash out may state it in a header."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    name, size = sibling.rfilename, sibling.size
    url = hf_hub_url(hub_id, name, revision=commit)
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    if size is None or not is_hash(digest, 40, 64):
        said = patiently(
            lambda: get_hf_file_metadata(url, timeout=float(constants.HF_HUB_ETAG_TIMEOUT))
        )
        size = said.size if size is None else size
        digest = said.etag
    most = constants.MAX_HTTP_DOWNLOAD_SIZE
    if not _any_like([name], ORIGINALS) and not weights_among([name]):
        most = LARGEST_WANTED_BYTES
    if size is None or not 0 <= size <= most:
        raise AutolabelError(
            f"the hub states {'no size' if size is None else f'a size of {size:,} bytes'} for "
            f"{name} of {hub_id}",
            hint="check HF_ENDPOINT, or tell the model's publisher",
        )
    return Stated(hub_id, name, url, size, digest if is_hash(digest, 40, 64) else "", commit)


def _files(hub_id: str, files: list[Stated], say: Callable[[str], None]) -> int:
    """Fetch files, some at a time; the bytes that came."""
    cache, stop = home(hub_id), Event()
    cache.mkdir(parents=True, exist_ok=True)
    needed, free = sum(download.missing(f, cache) for f in files), shutil.disk_usage(cache).free
    if needed > free:
        raise AutolabelError(
            f"{hub_id} takes {needed / 1e9:.1f} GB more, and {cache.parent} has "
            f"{free / 1e9:.1f} GB free",
            hint="make room there, or set HF_HUB_CACHE to a folder on another disk",
        )
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        waiting = [pool.submit(download.file, one, cache, say, stop) for one in files]
        try:
            for one in wait(waiting, return_when=FIRST_EXCEPTION).done:
                one.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return sum(one.result() for one in waiting)


def _chosen(names: list[str], hub_id: str) -> list[str]:
    """What to fetch of a repository's files: one kind of weights, and what goes with them."""
    original = _original(names)
    if original:
        return [original]
    weights = weights_among(names)
    if "config.json" not in names or not weights:
        raise AutolabelError(
            f"{hub_id} has no config.json with model.safetensors or pytorch_model.bin",
            hint="name a checkpoint in the format of transformers: autolabel models lists some",
        )
    return sorted({*weights, *(name for name in names if _any_like([name], WANTED))})


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
    said = f"answers {status}" if status else f"does not answer ({type(error).__name__})"
    return AutolabelError(
        f"cannot fetch {hub_id}: the hub {said}",
        hint=f"run the same again to go on: autolabel models pull {hub_id}",
    )
