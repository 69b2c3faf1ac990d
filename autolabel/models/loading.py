"""Loading a checkpoint through transformers, the same for every task."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import CONFIG_MAPPING
from transformers.utils import logging

from autolabel.errors import AutolabelError
from autolabel.models.finite import refuse_not_finite, weights_of
from autolabel.reading import read_json
from autolabel.registry import Located
from autolabel.registry.checksums import weights_among

logging.set_verbosity_error()
logging.disable_progress_bar()

TWINS = {
    "prompt_encoder.shared_embedding.positional_embedding": (
        "shared_image_embedding.positional_embedding"
    ),
}
"""Weights that transformers up to 4.57 kept once for both names, of SAM 2 and its kin."""


def load_pretrained(
    located: Located, processor_class: Any, model_class: Any, device: torch.device
) -> tuple[Any, Any]:
    """Return processor and model of a checkpoint, in single precision, ready for inference.

    Weights are read from safetensors, or where a checkpoint has none, from a `pytorch_model.bin`
    that holds tensors and nothing else. No code of a checkpoint is run.

    Args:
        located: the checkpoint's folder.
        processor_class, model_class: the auto classes of the task.
        device: where the model goes.

    Raises:
        AutolabelError: the files do not load, a package is not installed, weights are not finite
            numbers, or some are missing: transformers would fill them with random numbers.
    """
    try:
        with _network_off():
            processor, model, info = _read(located.path, processor_class, model_class)
    except ImportError as e:
        raise _package_missing(located.name, e) from e
    except (OSError, ValueError, KeyError, RuntimeError, UnpicklingError, SafetensorError) as e:
        raise AutolabelError(
            f"model {located.name} does not load: {' '.join(str(e).split())[:200]}",
            hint=f"fetch it again, or check the files in {located.path}",
        ) from e
    # A pooler on top is not used, and many checkpoints come without one.
    missing = sorted(k for k in info["missing_keys"] if not k.startswith("pooler."))
    missing = _filled_from_twins(model, missing)
    if missing:
        raise AutolabelError(
            f"model {located.name} lacks {len(missing)} weights, {missing[0]} for one",
            hint="use a checkpoint that holds the whole model",
        )
    refuse_not_finite(weights_of(model), located.name)
    return processor, model.to(device).eval()


def _read(folder: Path, processor_class: Any, model_class: Any) -> tuple[Any, Any, Any]:
    """Return processor, model and what the library says of the weights."""
    config = _config(folder)
    # Left to itself, the library asks on the terminal whether a checkpoint's code may run.
    processor = processor_class.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, **config
    )
    model, info = model_class.from_pretrained(
        folder,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=not pickled(folder),
        weights_only=True,
        dtype=torch.float32,
        output_loading_info=True,
        **config,
    )
    return processor, model, info


@contextmanager
def _network_off() -> Iterator[None]:
    """Keep the library off the network.

    All that is needed is on disk; where the library asks the hub even so, it is told no.
    So a network that is down ends nothing, and one that is slow costs nothing.
    """
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _package_missing(model: str, error: ImportError) -> AutolabelError:
    """Return what to install, as far as the library says so: in words or as a module."""
    said = " ".join(str(error).split())
    for pattern in (
        r"pip install (?:-\S+ )*['\"]?([\w.\[\]-]+)",
        r"requires the ([\w-]+) library",
    ):
        if found := re.search(pattern, said):
            package = found.group(1).strip(".")
            break
    else:
        package = (error.name or "").partition(".")[0]
    if not package:
        return AutolabelError(
            f"model {model} does not load: {said[:200] or 'a package is missing'}",
            hint="install the package that it names, or use another model",
        )
    return AutolabelError(
        f"model {model} needs a package that is not installed", hint=f"pip install {package}"
    )


def _config(folder: Path) -> dict[str, Any]:
    """Return the configuration, where transformers would ask the hub to make it out.

    Of a timm backbone that is given with arguments of its own, as by the published OmDet-Turbo, it
    asks whether the backbone's name is a repository, each time that it loads.
    """
    file = folder / "config.json"
    content = read_json(file) if file.is_file() else {}
    options = content.get("backbone_kwargs")
    if not isinstance(options, dict) or not options or content.get("backbone_config"):
        return {}
    if not content.get("use_timm_backbone"):
        return {}
    plain = {
        k: v
        for k, v in content.items()
        if k not in ("backbone", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone")
    }
    backbone = {"model_type": "timm_backbone", "backbone": content.get("backbone"), **options}
    config = CONFIG_MAPPING[content["model_type"]].from_dict({**plain, "backbone_config": backbone})
    return {"config": config}


def _filled_from_twins(model: Any, missing: list[str]) -> list[str]:
    """Fill missing weights from the same ones under another name; return what is missing then."""
    weights = model.state_dict()
    for name in missing:
        if name in TWINS and TWINS[name] not in missing:
            weights[name].copy_(weights[TWINS[name]])
    return [name for name in missing if name not in TWINS or TWINS[name] in missing]


def pickled(folder: Path) -> bool:
    """Tell whether the weights are `pytorch_model.bin` alone, as of some older checkpoints."""
    weights = weights_among(path.name for path in folder.iterdir())
    return bool(weights) and weights[0].endswith(".bin")
