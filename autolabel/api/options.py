"""Keywords as the options of a command, and progress as a callback."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from autolabel.config import Config, EngineConfig, build
from autolabel.engine.base import Progress
from autolabel.stages.running import Reporter, silent

AnyConfig = TypeVar("AnyConfig", bound=Config)

OnProgress = Callable[[str, int, int], None]
"""Called as (stage, images done, images to do)."""


def configs(model: type[AnyConfig], options: Mapping[str, Any]) -> tuple[AnyConfig, EngineConfig]:
    """Sort keywords into a command's options and those of how it runs.

    Raises:
        UsageError: one is unknown, out of bounds or of the wrong type.

    >>> from autolabel.config import DetectConfig
    >>> config, engine = configs(DetectConfig, {"nms_iou": 0.5, "device": "cpu"})
    >>> config.nms_iou, engine.device
    (0.5, 'cpu')
    """
    options = {key: as_text(value) for key, value in options.items()}
    own = {name for n, field in model.model_fields.items() for name in (n, field.alias)}
    how = {k: v for k, v in options.items() if k in EngineConfig.model_fields and k not in own}
    given = {k: v for k, v in options.items() if k not in how}
    return build(model, given, flags=False), build(EngineConfig, how, flags=False)


def as_text(value: Any) -> Any:
    """Return paths as texts, also within lists; what is no path stays as it is.

    >>> from pathlib import Path
    >>> as_text([Path("photos"), "more"]), as_text(0.5)
    (['photos', 'more'], 0.5)
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return type(value)(map(as_text, value))
    return value


def reporter(progress: OnProgress | None) -> Reporter:
    """Return what stages report to, for a callback; nobody where there is none."""
    if progress is None:
        return silent

    def begun(stage: str, images: int) -> Progress:
        progress(stage, 0, images)
        return Progress(changed=lambda p: progress(stage, p.images, images))

    return begun
