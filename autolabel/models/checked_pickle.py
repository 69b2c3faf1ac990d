"""Checkpoints that pickle a whole network, read without running anything that they hold.

Ultralytics stores the module objects themselves, which `torch.load` refuses unless their classes
are allowed. Here a class is allowed when it is a layer of torch or of ultralytics, and then only to
be filled with its attributes as they were saved: a file that calls it, as a pickle can, is refused.
It is our own because torch lets a file call an allowed class, with arguments of the file's choice.
"""

from __future__ import annotations

import importlib
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import nn

from autolabel.errors import AutolabelError
from autolabel.models.finite import refuse_not_finite, weights_of

_LAYERS = ("torch.nn.modules.", "ultralytics.nn.modules.")
_NETWORKS = ("ultralytics.nn.tasks",)
_NAMESPACE = "ultralytics.utils.IterableSimpleNamespace"
_PLAIN: dict[str, Any] = {
    "pathlib.PosixPath": pathlib.PurePosixPath,
    "pathlib.WindowsPath": pathlib.PureWindowsPath,
    "numpy._core.multiarray.scalar": np._core.multiarray.scalar,  # type: ignore[attr-defined]
    "numpy.core.multiarray.scalar": np._core.multiarray.scalar,  # type: ignore[attr-defined]
    "numpy.dtype": np.dtype,
}
"""What else real checkpoints hold, in their training figures and options."""
_DTYPES = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")]

_lock = Lock()  # torch's list of what is allowed is one for the process


def load_network(path: Path) -> dict[str, Any]:
    """Return a checkpoint with pickled modules, on the CPU, as `torch.load` would give it.

    Raises:
        AutolabelError: it is not a checkpoint, it holds what is not a layer of a network, or
            weights that are not finite numbers.
    """
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with _lock, _shells(path, names) as shells:
            content = torch.load(path, map_location="cpu", weights_only=True)
            _unwrap(content, shells)
    except AutolabelError:
        raise
    except _CalledError as e:
        raise _refused(path, str(e)) from None
    except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError, KeyError, TypeError) as e:
        reason = " ".join(str(e).split())[:160]
        raise AutolabelError(
            f"{path} cannot be read as a checkpoint: {reason}",
            hint="name a .pt file that ultralytics or autolabel wrote",
        ) from e
    if not isinstance(content, dict):
        raise _refused(path, f"a {type(content).__name__} in place of a network")
    for part in content.values():
        if isinstance(part, nn.Module):
            refuse_not_finite(weights_of(part), path.name)
    refuse_not_finite(content, path.name)  # of weights alone
    return content


class _CalledError(Exception):
    """A file calls a class that it may only fill."""


def _refuse(self: Any, *_: Any, **__: Any) -> None:
    raise _CalledError(f"a call of {type(self).__name__}")


@contextmanager
def _shells(path: Path, names: list[str]) -> Iterator[dict[type, type]]:
    """Allow the named classes, each in a shell that cannot be called; give shell -> class."""
    shells: dict[type, type] = {}
    allowed: list[Any] = list(_DTYPES)
    for name in names:
        if name in _PLAIN:
            allowed.append((_PLAIN[name], name))
            continue
        layer = _class(path, name)
        shell = type(layer.__name__, (layer,), {"__init__": _refuse, "__module__": __name__})
        shells[shell] = layer
        allowed.append((shell, name))
    with torch.serialization.safe_globals(allowed):
        yield shells


def _class(path: Path, name: str) -> type:
    """Return the class of that name, if it is one that a network is made of."""
    module, _, attribute = name.rpartition(".")
    if name != _NAMESPACE and not module.startswith(_LAYERS) and module not in _NETWORKS:
        raise _refused(path, name)
    try:
        found: type = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise AutolabelError(
            f"{path} holds {name}, which the installed version does not know",
            hint="pip install --upgrade 'autolabel[train]', or use another checkpoint",
        ) from None
    # What a module merely imported, such as a loader of other files, is none of its layers.
    own = isinstance(found, type) and found.__module__ == module
    if not own or (name != _NAMESPACE and not issubclass(found, nn.Module)):
        raise _refused(path, name)
    return found


def _unwrap(content: Any, shells: dict[type, type]) -> None:
    """Give every object its real class in place of the shell."""
    waiting, seen = [content], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, torch.Tensor | str | bytes | int | float):
            continue
        seen.add(id(one))
        if type(one) in shells:
            object.__setattr__(one, "__class__", shells[type(one)])
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set):
            waiting += one
        elif hasattr(one, "__dict__") and not isinstance(one, type):
            waiting += vars(one).values()


def _refused(path: Path, what: str) -> AutolabelError:
    return AutolabelError(
        f"{path} holds {what}, which is not part of a network; it was not run",
        hint="do not trust that file; name a .pt file that ultralytics or autolabel wrote",
    )
