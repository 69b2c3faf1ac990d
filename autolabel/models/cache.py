"""Where files are kept between runs, outside every workspace."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path

_BEFORE = "~/Library/Caches/autolabel"
"""Where a Mac's files were whatever `XDG_CACHE_HOME` said."""


def cache_folder() -> Path:
    """Return the folder of autolabel's own small files, which may not exist yet.

    On Linux that is `$XDG_CACHE_HOME/autolabel` or `~/.cache/autolabel`, elsewhere what is usual.
    """
    folder = user_cache_path("autolabel", appauthor=False, opinion=False)
    before = Path(_BEFORE).expanduser()
    return before if before.is_dir() and not folder.is_dir() else folder
