"""Turn a folder of raw images and a few words into a training dataset, and measure it honestly.

The names below are the public API; what a command does, a method of `Workspace` does, with the same
options, defaults and errors, and nothing is printed. They are imported when they are first used, so
that `import autolabel` is quick.

>>> import tempfile
>>> import autolabel as al
>>> ws = al.Workspace(tempfile.mkdtemp())
>>> done = ws.ingest("sample_data/blood_cells/unlabeled/BloodImage_0000*.jpg")
>>> done = ws.detect(
...     prompts=["red blood cell", "platelet"], model="sample_data/models/detector"
... )
>>> ws["detect"].to_supervision(0).xyxy.shape[1]
4
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from autolabel.api.layer import Layer
    from autolabel.api.models import load_detector, load_embedder, load_segmenter
    from autolabel.api.run import run
    from autolabel.api.workspace import Workspace
    from autolabel.errors import AutolabelError, UsageError
    from autolabel.metrics.result import Evaluation
    from autolabel.ontology import Ontology
    from autolabel.types import Objects, Record

_FROM = {
    "AutolabelError": "autolabel.errors",
    "Evaluation": "autolabel.metrics.result",
    "Layer": "autolabel.api.layer",
    "Objects": "autolabel.types",
    "Ontology": "autolabel.ontology",
    "Record": "autolabel.types",
    "UsageError": "autolabel.errors",
    "Workspace": "autolabel.api.workspace",
    "load_detector": "autolabel.api.models",
    "load_embedder": "autolabel.api.models",
    "load_segmenter": "autolabel.api.models",
    "run": "autolabel.api.run",
}

__all__ = [
    "AutolabelError",
    "Evaluation",
    "Layer",
    "Objects",
    "Ontology",
    "Record",
    "UsageError",
    "Workspace",
    "__version__",
    "load_detector",
    "load_embedder",
    "load_segmenter",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'autolabel' has no attribute {name!r}")
    value = getattr(importlib.import_module(_FROM[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
