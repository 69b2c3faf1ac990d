"""Fetching checkpoints from the hub into its own cache, each at the commit that is pinned there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.registry import download
from autolabel.registry.checksums import weights_among
from autolabel.registry.download import Stated, is_hash, patiently
from autolabel.registry.hub_cache import (
    ORIGINALS,
    any_like,
    chosen,
    home,
    main_commit,
    pin,
    pinned,
    place_of,
)

FILES_AT_ONCE = 4
LARGEST_WANTED_BYTES = 200_000_000
"""No configuration or vocabulary is as large."""


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


def offline() -> None:
    """Forbid the network to this process and those that it starts."""
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def pull(hub_id: str, say: Callable[[str], None] = lambda line: None) -> Pulled:
    """Fetch what a checkpoint lacks here; a broken download goes on where it stopped.

    A checkpoint that another program has begun to fetch is completed at the commit that it is at.

    Raises:
        AutolabelError: the hub refuses, does not answer, or sends something else than it states.
    """
    known = pinned(hub_id)
    main = main_commit(hub_id)
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
    pin(hub_id, commit, names)
    path = place_of(home(hub_id) / "snapshots" / commit, names)
    return Pulled(path, commit, len(files), sum(one.size for one in files), fetched)


def _stated(hub_id: str, revision: str | None) -> list[Stated]:
    """Return what the hub says of each file that is to be fetched."""
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
    names = chosen(list(siblings), hub_id)
    return [_one(hub_id, str(info.sha), siblings[name]) for name in names]


def _one(hub_id: str, commit: str, sibling: Any) -> Stated:
    """Return what the hub says of a file; a mirror may state its hash in a header alone."""
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
    if not any_like([name], ORIGINALS) and not weights_among([name]):
        most = LARGEST_WANTED_BYTES
    if size is None or not 0 <= size <= most:
        raise AutolabelError(
            f"the hub states {'no size' if size is None else f'a size of {size:,} bytes'} for "
            f"{name} of {hub_id}",
            hint="check HF_ENDPOINT, or tell the model's publisher",
        )
    return Stated(hub_id, name, url, size, digest if is_hash(digest, 40, 64) else "", commit)


def _files(hub_id: str, files: list[Stated], say: Callable[[str], None]) -> int:
    """Fetch files, some at a time; return the bytes that came."""
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
