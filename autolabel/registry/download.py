"""One file from the hub: asked again where the network falters, resumed, checked, put in place.

The hub's client drops a partial file when a download breaks, and takes whatever has the right
length, so that files are fetched here, in the layout that the client reads: the bytes in
`blobs/HASH`, and a link to them in `snapshots/COMMIT/NAME`.
"""

from __future__ import annotations

import email.utils
import hashlib
import importlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from filelock import FileLock

from autolabel.errors import AutolabelError

T = TypeVar("T")

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between one try and the next; begun anew when bytes have come."""
LONGEST_WAIT = 300.0
"""Seconds, however long the hub asks to wait."""
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that the same request may not meet again."""

_CHUNK_BYTES = 1 << 20


class Stopped(Exception):  # noqa: N818 - no error: told to
    """Another file's error or a key press ended the download."""


class _CutShortError(Exception):
    """The answer ended before the file did."""


@dataclass(frozen=True)
class Stated:
    """What the hub says of a file.

    Attributes:
        hub_id, name: whose file it is, and its name.
        url: where its bytes are.
        size: bytes.
        digest: sha256 of a large file, git's sha1 of another; empty where the hub states none.
        commit: of the repository.
    """

    hub_id: str
    name: str
    url: str
    size: int
    digest: str
    commit: str

    @property
    def blob(self) -> str:
        """The name of its bytes in the cache; never a hash that nobody has checked."""
        return self.digest or f"{self.commit}.{self.name}"


def patiently(
    attempt: Callable[[], T],
    stop: Event | None = None,
    *,
    came: Callable[[], int] = lambda: 0,
    first: bool = False,
) -> T:
    """Do something over the network, again after a pause where it fails for the moment.

    Args:
        attempt: what to do.
        stop: ends a pause when it is set.
        came: bytes that there are so far; when there are more, patience begins anew.
        first: whether nothing has been heard of the hub yet; then a hub that cannot be reached is
            given up after one more try.

    Raises:
        Stopped: `stop` was set.
    """
    waits, before = list(WAITS), came()
    while True:
        try:
            return attempt()
        except Exception as e:
            if came() > before:
                waits, before = list(WAITS), came()
            elif first and _status(e) is None:
                waits = waits[: len(waits) - len(WAITS) + 1]
            if not (_passing(e) and waits):
                raise
            seconds = min(max(waits.pop(0), _asked_to_wait(e)), LONGEST_WAIT)
        pause(seconds, stop or Event())


def pause(seconds: float, stop: Event) -> None:
    """Wait, unless told to stop."""
    if stop.wait(seconds):
        raise Stopped


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _passing(error: Exception) -> bool:
    """Tell whether the same request may do better in a moment."""
    from huggingface_hub import get_session

    library = sys.modules[type(get_session()).__module__.partition(".")[0]]  # httpx, or its heir
    return isinstance(error, library.TransportError | _CutShortError) or _status(error) in PASSING


def _asked_to_wait(error: Exception) -> float:
    """Return the seconds that the hub asks to wait, in a number or until a date; else 0."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    said = str(headers.get("Retry-After", ""))
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 0.0


def missing(stated: Stated, cache: Path) -> int:
    """Return bytes of a file that are not in the cache yet."""
    blob = cache / "blobs" / stated.blob
    places = (cache / "snapshots" / stated.commit / stated.name, blob)
    have = max(map(_size, (*places, blob.with_name(f"{blob.name}.part"))))
    return max(0, stated.size - have)


def file(stated: Stated, cache: Path, say: Callable[[str], None], stop: Event) -> int:
    """Have a file in the cache's snapshot of its commit; return the bytes that had to be fetched.

    Raises:
        AutolabelError: what comes is not what the hub states.
        Stopped: `stop` was set.
    """
    blob = cache / "blobs" / stated.blob
    place = cache / "snapshots" / stated.commit / stated.name
    if not place.is_symlink() and place.is_file() and _is_whole(place, stated):
        return 0  # where links cannot be made, it lies here
    blob.parent.mkdir(parents=True, exist_ok=True)
    fetched = 0
    with FileLock(blob.with_name(f"{blob.name}.lock")):  # another process may fetch the same
        if not (blob.is_file() and _is_whole(blob, stated)):
            part = blob.with_name(f"{blob.name}.part")
            say(f"{stated.name}: {stated.size / 1e6:.1f} MB")
            fetched = _fetch(stated, part, stop)
            part.replace(blob)
        _put(blob, place)
    return fetched


def _put(blob: Path, place: Path) -> None:
    """Link to the bytes; where that cannot be, copy them."""
    from huggingface_hub import constants

    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if not constants.HF_HUB_DISABLE_SYMLINKS:
        try:
            place.symlink_to(os.path.relpath(blob, place.parent))
            return
        except OSError:
            pass
    temporary = place.with_name(f"{place.name}.part")
    shutil.copyfile(blob, temporary)
    temporary.replace(place)
    blob.unlink()  # its bytes are needed once


def _fetch(stated: Stated, part: Path, stop: Event) -> int:
    """Complete a partial file and check it; return the bytes that came."""
    have = _size(part)
    if have > stated.size:
        part.unlink()
        have = 0
    patiently(lambda: _append(stated, part, stop), stop, came=lambda: _size(part))
    if not _is_whole(part, stated):
        part.unlink()
        raise AutolabelError(
            f"{stated.name} of {stated.hub_id} is not what the hub states: its checksum differs",
            hint="run the same command again; the broken file is gone",
        )
    return stated.size - have


def _append(stated: Stated, part: Path, stop: Event) -> None:
    """Ask for what is missing, and write it as it comes, so that a break loses none."""
    from huggingface_hub import constants, get_session

    have = _size(part)
    if have == stated.size and part.is_file():
        return
    utils: Any = importlib.import_module("huggingface_hub.utils")
    headers = {**utils.build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    client: Any = get_session()
    with client.stream(
        "GET",
        stated.url,
        headers=headers,
        follow_redirects=True,
        timeout=float(constants.HF_HUB_DOWNLOAD_TIMEOUT),
    ) as answer:
        utils.hf_raise_for_status(answer)
        resumed = answer.status_code == 206
        room = stated.size - (have if resumed else 0)
        announced = answer.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > room:
            raise _too_long(stated, part)
        with part.open("ab" if resumed else "wb") as out:
            for chunk in answer.iter_bytes():
                if stop.is_set():
                    raise Stopped
                room -= len(chunk)
                if room < 0:
                    raise _too_long(stated, part)
                out.write(chunk)
    if room:
        raise _CutShortError(f"{room} bytes of {stated.name} did not come")


def _too_long(stated: Stated, part: Path) -> AutolabelError:
    part.unlink(missing_ok=True)
    return AutolabelError(
        f"{stated.name} of {stated.hub_id} is not what the hub states: more comes than "
        f"{stated.size} bytes",
        hint="check HF_ENDPOINT, or tell the model's publisher",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_whole(path: Path, stated: Stated) -> bool:
    """Tell whether a file has the size and the hash that are stated."""
    if path.stat().st_size != stated.size:
        return False
    if not stated.digest:
        return True
    git = hashlib.sha1(f"blob {stated.size}\0".encode())
    digest = hashlib.sha256() if len(stated.digest) == 64 else git
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == stated.digest


def is_hash(text: str | None, *lengths: int) -> bool:
    """Tell whether a text is a hash of one of these lengths, so that it may be a file's name."""
    return bool(text and len(text) in lengths and re.fullmatch(r"[0-9a-f]+", text))
