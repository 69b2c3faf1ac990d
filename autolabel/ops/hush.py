"""Libraries that read images say what they dislike on their own; it reaches nobody.

What they say is either an `ImageError` or of no use to whoever reads the pixels.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import re
import threading
import warnings
from contextlib import suppress
from typing import Any

_QUIET = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)
_quiet_lock = threading.Lock()

# Without a handler of its own, Python prints what PIL logs of hostile files.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def hush_plugins() -> None:
    """Keep a filter for PIL's own warnings (odd EXIF, large pictures) in front of all others.

    `warnings.catch_warnings` swaps process-wide state, so threads that decode side by side would
    restore each other's; a filter that names PIL's modules and stays can be raced by nobody.
    """
    if list(warnings.filters[:1]) != [_QUIET]:
        with _quiet_lock:
            if list(warnings.filters[:1]) != [_QUIET]:
                warnings.filterwarnings("ignore", module=_QUIET[3].pattern)


@functools.cache
def hush_libtiff() -> None:
    """Take from libtiff its habit of writing what it dislikes straight to standard error.

    No handler at all is a state that the library provides for; it is set once for the process, so
    threads cannot race. Where PIL was built so that the library cannot be reached, it talks on.
    """
    with suppress(AttributeError, OSError, ImportError):
        core = importlib.import_module("PIL._imaging")
        library = ctypes.CDLL(core.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            setter = getattr(library, name)
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)


@functools.cache
def supervision() -> Any:
    """Import supervision, which is told off for lacking OpenCV; what is used does not touch it.

    To be called before threads start whose warnings this would silence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("supervision")
