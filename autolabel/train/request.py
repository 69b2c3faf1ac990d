"""What is asked of a training, and whether it is done: found without the trainer."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autolabel.config import TrainConfig
from autolabel.datasets.names import tidy_stem
from autolabel.datasets.task import choose_task
from autolabel.ontology import Ontology
from autolabel.registry.checksums import sha256_of
from autolabel.store import Layer, Workspace
from autolabel.train.choose import choose
from autolabel.train.result import complete_run


def folder_of(workspace: Path, config: TrainConfig) -> Path:
    """Return the folder of the student that the options name, unless the trainer knows better."""
    return workspace / "train" / tidy_stem(config.name or Path(config.student).stem)


def is_current(workspace: Workspace, layer: Layer, ontology: Ontology, config: TrainConfig) -> bool:
    """Say whether `train` would find its work done.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    chosen = choose(workspace, layer, config)
    masks = choose_task(chosen, "auto").masks
    request = request_of(config, ontology, masks, chosen.fingerprint())
    return complete_run(folder_of(workspace.path, config), request=request) is not None


def request_of(config: TrainConfig, ontology: Ontology, masks: bool, labels: str) -> str:
    """Return a hash of what is asked for, without loading the trainer, which takes seconds."""
    file = Path(config.student).expanduser()
    try:
        trainer = version("ultralytics")
    except PackageNotFoundError:
        trainer = None
    asked = {
        "options": config.model_dump(mode="json"),
        "student": sha256_of(file) if file.is_file() else None,
        "trainer": trainer,
        "masks": masks,
        "classes": list(ontology.names),
        "labels": labels,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
