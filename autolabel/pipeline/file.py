"""Reading a pipeline file, which has a section for every stage: those of other packages too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import create_model

from autolabel.config import STEPS, PipelineConfig, load_pipeline
from autolabel.stages.table import STAGES


def file_model() -> type[PipelineConfig]:
    """Return `PipelineConfig` with a section for each stage that it does not know itself."""
    sections: dict[str, Any] = {
        name: (entry.config | None, None)
        for name, entry in STAGES.items()
        if name not in PipelineConfig.model_fields
    }
    if not sections:
        return PipelineConfig
    return create_model("PipelineConfig", __base__=PipelineConfig, **sections)


def read_pipeline(path: Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> PipelineConfig:
    """Read a pipeline file and apply overrides: texts ``stage.key=value``, or key -> value.

    Raises:
        AutolabelError: the file cannot be read.
        UsageError: it is not a pipeline, or an override is not.
    """
    return load_pipeline(path, overrides, file_model())


def known_steps() -> list[str]:
    """Return every step that a file can name, in the order in which they run."""
    return [*STAGES, *(step for step in STEPS if step not in STAGES)]
