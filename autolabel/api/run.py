"""A whole pipeline file, run from a program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autolabel.api.options import OnProgress, as_text, reporter
from autolabel.pipeline.file import read_pipeline
from autolabel.pipeline.run import PipelineResult, run_pipeline
from autolabel.stages.labels import Say, quiet


def run(
    file: str | os.PathLike[str],
    *,
    set: Mapping[str, Any] | None = None,
    until: str | None = None,
    progress: OnProgress | None = None,
    say: Say | None = None,
) -> PipelineResult:
    """Run a whole pipeline file, as `autolabel run` does; only what is stale or unfinished is done.

    Args:
        file: the pipeline file.
        set: values in place of those of the file, as ``{"detect.box_threshold": 0.25}``;
            ``workspace`` moves what the file puts into the workspace, exports included.
        until: the last step.
        progress: called as (stage, images done, images to do) while a stage works.
        say: called with a line that the command would print, such as a warning.

    Returns:
        The workspace, and step -> its result.

    Raises:
        AutolabelError: the file, or whatever stops a step.
        UsageError: a key, a value or a step is not known.
    """
    values = {key: as_text(value) for key, value in (set or {}).items()}
    config = read_pipeline(Path(file), values)
    return run_pipeline(config, until=until, report=reporter(progress), say=say or quiet)
