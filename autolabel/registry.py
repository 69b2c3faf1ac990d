"""From the name of a model to the folder that holds it and the class that runs it.

A model is named by a registered name, a hub id (`owner/name`), a local folder or an original `.pth`
file. The adapter class is looked up by the `model_type` that the checkpoint's own `config.json`
states. Other packages add
names through the entry point group `autolabel.models`, each entry a `Registered`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError

ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "detector": {
        "grounding-dino": "autolabel.models.grounding_dino:GroundingDino",
        "mm-grounding-dino": "autolabel.models.grounding_dino:GroundingDino",
    },
    "segmenter": {
        ".pth": "autolabel.models.segment_anything:SegmentAnything",
        "sam": "autolabel.models.sam:Sam",
        "sam2": "autolabel.models.sam:Sam",
        "sam2_video": "autolabel.models.sam:Sam",
        "sam_hq": "autolabel.models.sam:Sam",
    },
    "image-text": {
        "altclip": "autolabel.models.image_text:ImageText",
        "chinese_clip": "autolabel.models.image_text:ImageText",
        "clip": "autolabel.models.image_text:ImageText",
        "metaclip_2": "autolabel.models.image_text:ImageText",
        "siglip": "autolabel.models.image_text:ImageText",
        "siglip2": "autolabel.models.image_text:ImageText",
    },
    "image": {
        "dinov2": "autolabel.models.image_only:ImageOnly",
        "dinov2_with_registers": "autolabel.models.image_only:ImageOnly",
        "dinov3_convnext": "autolabel.models.image_only:ImageOnly",
        "dinov3_vit": "autolabel.models.image_only:ImageOnly",
        "ijepa": "autolabel.models.image_only:ImageOnly",
        "vit": "autolabel.models.image_only:ImageOnly",
    },
}
"""task -> `model_type` of the checkpoint -> "module:Class"."""

ENTRY_POINTS = "autolabel.models"
BUNDLED = {
    "detector": "sample_data/models/detector",
    "segmenter": "sample_data/models/segmenter",
    "image-text": "sample_data/models/clip",
    "image": "sample_data/models/dinov2",
}
"""What a clone of the repository holds for each task; named in hints only."""

_WEIGHTS = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class Registered:
    """A name for a published checkpoint.

    Attributes:
        task: a key of `ADAPTERS`.
        hub_id: `owner/name` on the Hugging Face hub.
        licence: of the weights, as the publisher states it.
    """

    task: str
    hub_id: str
    licence: str


MODELS: Mapping[str, Registered] = {
    "grounding-dino-tiny": Registered(
        "detector", "IDEA-Research/grounding-dino-tiny", "Apache-2.0"
    ),
    "grounding-dino-base": Registered(
        "detector", "IDEA-Research/grounding-dino-base", "Apache-2.0"
    ),
    "mm-grounding-dino-tiny": Registered(
        "detector", "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det", "Apache-2.0"
    ),
    "sam-vit-base": Registered("segmenter", "facebook/sam-vit-base", "Apache-2.0"),
    "sam-vit-large": Registered("segmenter", "facebook/sam-vit-large", "Apache-2.0"),
    "sam-vit-huge": Registered("segmenter", "facebook/sam-vit-huge", "Apache-2.0"),
    "sam-hq-vit-base": Registered("segmenter", "syscv-community/sam-hq-vit-base", "Apache-2.0"),
    "sam2.1-hiera-tiny": Registered("segmenter", "facebook/sam2.1-hiera-tiny", "Apache-2.0"),
    "sam2.1-hiera-small": Registered("segmenter", "facebook/sam2.1-hiera-small", "Apache-2.0"),
    "clip-vit-base-patch32": Registered("image-text", "openai/clip-vit-base-patch32", "MIT"),
    "clip-vit-large-patch14": Registered("image-text", "openai/clip-vit-large-patch14", "MIT"),
    "siglip-base-patch16-224": Registered(
        "image-text", "google/siglip-base-patch16-224", "Apache-2.0"
    ),
    "metaclip-b32": Registered("image-text", "facebook/metaclip-b32-400m", "CC-BY-NC-4.0"),
    "dinov2-small": Registered("image", "facebook/dinov2-small", "Apache-2.0"),
    "dinov2-base": Registered("image", "facebook/dinov2-base", "Apache-2.0"),
    "dinov3-small": Registered(
        "image", "facebook/dinov3-vits16-pretrain-lvd1689m", "DINOv3 licence"
    ),
}


@dataclass(frozen=True)
class Located:
    """A model on this machine.

    Attributes:
        task: what it does.
        name: hub id, or the folder's or file's name.
        path: folder with `config.json` and weights, or an original `.pth` file.
        revision: commit on the hub, or `sha256:…` of the local file or folder's files.
    """

    task: str
    name: str
    path: Path
    revision: str

    def reference(self) -> str:
        """What to give `locate` to find it again from anywhere on this machine."""
        local = self.revision.startswith("sha256:")
        return str(self.path.resolve()) if local else self.name

    def identity(self) -> dict[str, str]:
        """What a manifest records of it."""
        return {"name": self.name, "revision": self.revision}


@functools.cache
def registered() -> dict[str, Registered]:
    """Every registered name: our own, then those of installed packages."""
    found = dict(MODELS)
    for entry in entry_points(group=ENTRY_POINTS):
        found[entry.name] = entry.load()
    return found


def locate(task: str, name: str, *, fetch: bool = True) -> Located:
    """Find a model on this machine; where it is missing, fetch it from the hub.

    Args:
        task: what the model must do, a key of `ADAPTERS`.
        name: registered name, hub id, local folder or original `.pth` file.
        fetch: whether the network may be used (`HF_HUB_OFFLINE` forbids it too).

    Raises:
        AutolabelError: there is no such model, or it is neither here nor to be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _local(task, name, folder)
    if folder.is_file() and folder.suffix == ".pth":
        return _original(task, folder)
    known = registered().get(name)
    if known is not None and known.task != task:
        raise AutolabelError(
            f"{name!r} is a {known.task}, not a {task}", hint="autolabel models lists the names"
        )
    hub_id = known.hub_id if known else name
    if known is None and (hub_id.count("/") != 1 or hub_id.startswith((".", "/", "~"))):
        raise AutolabelError(f"there is no model {name!r}", hint=_nearest(task, name))
    return _from_hub(task, name, hub_id, fetch=fetch)


def load(located: Located, device: str) -> Any:
    """Construct the adapter that runs a model.

    Raises:
        AutolabelError: no adapter serves this kind of checkpoint, or it does not load.
    """
    kind = model_type(located.path)
    adapters = ADAPTERS[located.task]
    if kind not in adapters:
        raise AutolabelError(
            f"{located.name} is a {kind or 'nameless'} checkpoint, not a {located.task}",
            hint=f"a {located.task} is one of: {', '.join(adapters)}",
        )
    module, _, attribute = adapters[kind].partition(":")
    return getattr(importlib.import_module(module), attribute)(located, device)


def model_type(folder: Path) -> str:
    """The `model_type` in a checkpoint's `config.json`; empty where it states none.

    A model that is a file has its suffix in place of one.
    """
    if folder.is_file():
        return folder.suffix
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def _local(task: str, name: str, folder: Path) -> Located:
    if not (folder / "config.json").is_file():
        raise AutolabelError(
            f"{name} has no config.json, so it is not a model folder",
            hint="name the folder that save_pretrained wrote, or one from `autolabel models`",
        )
    sha = hashlib.sha256()
    for path in sorted({p for pattern in _WEIGHTS for p in folder.glob(pattern)}):
        with path.open("rb") as file:
            sha.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return Located(task, folder.resolve().name, folder, f"sha256:{sha.hexdigest()}")


def _original(task: str, file: Path) -> Located:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Located(task, file.name, file, f"sha256:{digest}")


def _from_hub(task: str, name: str, hub_id: str, *, fetch: bool) -> Located:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns = list(_WEIGHTS)
    try:
        found = Path(snapshot_download(hub_id, allow_patterns=patterns, local_files_only=True))
        if (found / "config.json").is_file() and any(found.glob("*.safetensors")):
            return Located(task, hub_id, found, found.name)
    except HFValidationError:
        raise AutolabelError(f"there is no model {name!r}", hint=_nearest(task, name)) from None
    except LocalEntryNotFoundError:
        pass
    reason = "the network is off (HF_HUB_OFFLINE)"
    if fetch and not constants.HF_HUB_OFFLINE:
        try:
            found = Path(snapshot_download(hub_id, allow_patterns=patterns))
            return Located(task, hub_id, found, found.name)
        except Exception as e:  # the hub client raises what its HTTP library does
            reason = f"the hub does not answer ({type(e).__name__})"
    raise AutolabelError(
        f"model {name!r} is not in {constants.HF_HUB_CACHE} and cannot be fetched: {reason}",
        hint=f"run `hf download {hub_id}` where there is a network, or name a local "
        f"folder such as {BUNDLED.get(task, 'FOLDER')}",
    )


def _nearest(task: str, name: str) -> str:
    import difflib

    names = [n for n, r in registered().items() if r.task == task]
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"use a folder that exists, a hub id (owner/name), or one of: {', '.join(names)}"


def on_disk(hub_id: str) -> bool:
    """Whether the hub's cache on this machine holds a checkpoint's weights."""
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}" / "snapshots"
    return any(snapshots.glob("*/*.safetensors")) if snapshots.is_dir() else False
