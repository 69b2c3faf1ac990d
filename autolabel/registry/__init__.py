"""From the name of a model to the folder that holds it and the class that runs it.

A model is named by a registered name, a hub id (`owner/name`), a local folder or an original `.pth`
or `.pt` file. The adapter class is looked up by the `model_type` that the checkpoint's own
`config.json` states. Other packages add names, and adapters of their own, through the entry point
group `autolabel.models`, each entry a `Registered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError, nearest, suggest
from autolabel.plugins import named
from autolabel.reading import read_json
from autolabel.registry import hub, hub_cache
from autolabel.registry.catalogue import MODELS, Registered
from autolabel.registry.checksums import folder_digest, sha256_of, weights_digest

__all__ = [
    "ADAPTERS",
    "BUNDLED",
    "MODELS",
    "Located",
    "Registered",
    "adapter_of",
    "hub_id_of",
    "load",
    "locate",
    "model_type",
    "registered",
]

ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "detector": {
        ".pt": "autolabel.models.yolo_text:YoloText",
        ".pth": "autolabel.models.grounding_dino_original:load_original",
        "florence2": "autolabel.models.florence2:Florence2",
        "grounding-dino": "autolabel.models.grounding_dino:GroundingDino",
        "mm-grounding-dino": "autolabel.models.grounding_dino:GroundingDino",
        "omdet-turbo": "autolabel.models.omdet_turbo:OmDetTurbo",
        "owlv2": "autolabel.models.owl:Owl",
        "owlvit": "autolabel.models.owl:Owl",
        "sam3": "autolabel.models.sam3_concepts:Sam3Concepts",
        "sam3_lite_text": "autolabel.models.sam3_concepts:Sam3Concepts",
        "sam3_video": "autolabel.models.sam3_concepts:Sam3Concepts",
    },
    "segmenter": {
        ".pt": "autolabel.models.ultralytics_sam:load_by_kind",
        ".pth": "autolabel.models.segment_anything:SegmentAnything",
        "edgetam": "autolabel.models.sam:Sam",
        "edgetam_video": "autolabel.models.sam:Sam",
        "sam": "autolabel.models.sam:Sam",
        "sam2": "autolabel.models.sam:Sam",
        "sam2_video": "autolabel.models.sam:Sam",
        "sam3_tracker": "autolabel.models.sam:Sam",
        "sam3_video": "autolabel.models.sam:Sam",
        "sam_hq": "autolabel.models.sam:Sam",
    },
    "image-text": {
        "align": "autolabel.models.image_text:ImageText",
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

BUNDLED = {
    "detector": "sample_data/models/detector",
    "segmenter": "sample_data/models/segmenter",
    "image-text": "sample_data/models/clip",
    "image": "sample_data/models/dinov2",
}
"""What a clone of the repository holds for each task; named in hints only."""


@dataclass(frozen=True)
class Located:
    """A model on this machine.

    Attributes:
        task: what it does.
        name: hub id, or the folder's or file's name.
        path: folder with `config.json` and weights, or an original `.pth` file.
        revision: commit on the hub, or `sha256:…` of the local file or folder's files.
        adapter: `module:Class` that runs it, where a plugin brings one; else its kind decides.
    """

    task: str
    name: str
    path: Path
    revision: str
    adapter: str = ""

    def reference(self) -> str:
        """Return what to give `locate` to find it again from anywhere on this machine."""
        local = self.revision.startswith("sha256:")
        return str(self.path.resolve()) if local else self.name

    def identity(self) -> dict[str, str]:
        """Return what a manifest records; of a model from the hub the weights' SHA-256 too."""
        known = {"name": self.name, "revision": self.revision}
        if self.revision.startswith("sha256:"):
            return known
        digest = weights_digest(self.path)
        return {**known, "sha256": digest} if digest else known


def registered() -> Mapping[str, Registered]:
    """Return every registered name: our own, then those of installed packages."""
    return MODELS


def locate(task: str, name: str, *, fetch: bool = True) -> Located:
    """Find a model on this machine; where it is missing, fetch it from the hub.

    Args:
        task: what the model must do, a key of `ADAPTERS`.
        name: registered name, hub id, local folder or original `.pth` file.
        fetch: whether the network may be used (`HF_HUB_OFFLINE` forbids it too).

    Raises:
        AutolabelError: there is no such model, or it is not found here and cannot be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _local(task, name, folder)
    if folder.is_file() and folder.suffix in (".pt", ".pth"):
        return _original(task, folder)
    known = registered().get(name)
    if known is not None and known.task != task:
        twins = [n for n, r in registered().items() if (r.task, r.hub_id) == (task, known.hub_id)]
        raise AutolabelError(
            f"{name!r} is a {known.task}, not a {task}",
            hint=f"use {twins[0]}" if twins else "autolabel models lists the names",
        )
    hub_id = known.hub_id if known else name
    return replace(_from_hub(task, name, hub_id, fetch=fetch), adapter=_own_adapter(task, hub_id))


def _own_adapter(task: str, hub_id: str) -> str:
    """Return the adapter that a plugin brings for a checkpoint; empty where none does."""
    brought = (r.adapter for r in registered().values() if (r.task, r.hub_id) == (task, hub_id))
    return next(filter(None, brought), "")


def hub_id_of(name: str) -> str:
    """Return the hub id of a registered name; a hub id is its own.

    Raises:
        AutolabelError: it is neither.
    """
    known = registered().get(name)
    if known is not None:
        return known.hub_id
    if not hub_cache.HUB_ID.fullmatch(name):
        near = nearest(name, registered())
        raise AutolabelError(
            f"there is no model {name!r}",
            hint=f"did you mean {near!r}?" if near else "autolabel models lists the names",
        )
    return name


def load(located: Located, device: str) -> Any:
    """Construct the adapter that runs a model.

    Raises:
        AutolabelError: no adapter serves this kind of checkpoint, or it does not load.
    """
    target = adapter_of(located)
    try:
        make = named(target)
    except (ImportError, AttributeError) as e:
        if target.startswith("autolabel."):
            raise
        raise AutolabelError(
            f"the adapter {target} of {located.name} does not load: {e}",
            hint="install the package that registers it again, or name another model",
        ) from e
    return make(located, device)


def adapter_of(located: Located) -> str:
    """Return the adapter of a kind of checkpoint: our own, else that of a plugin.

    Raises:
        AutolabelError: no adapter serves this kind.
    """
    if located.adapter:
        return located.adapter
    kind = model_type(located.path)
    known = ADAPTERS[located.task]
    brought = {
        r.model_type: r.adapter
        for r in MODELS.plugins.values.values()
        if kind not in known and r.task == located.task and r.model_type and r.adapter
    }
    adapters = {**brought, **known}
    if kind not in adapters:
        raise AutolabelError(
            f"{located.name} is a {kind or 'nameless'} checkpoint, not a {located.task}",
            hint=f"a {located.task} is one of: {', '.join(adapters)}",
        )
    return adapters[kind]


def model_type(folder: Path) -> str:
    """Return the `model_type` in a checkpoint's `config.json`; empty where it states none.

    A model that is a file has its suffix in place of one.
    """
    if folder.is_file():
        return folder.suffix
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def _local(task: str, name: str, folder: Path) -> Located:
    if not (folder / "config.json").is_file():
        raise AutolabelError(
            f"{name} has no config.json, so it is not a model folder",
            hint="name the folder that save_pretrained wrote, or one from `autolabel models`",
        )
    for entry in sorted(folder.iterdir()):
        if entry.exists() and not entry.is_file() and not entry.is_dir():
            raise AutolabelError(
                f"{name} is not a model folder: {entry.name} is not a regular file",
                hint="take it away; opening it may wait for ever",
            )
    return Located(task, folder.resolve().name, folder, f"sha256:{folder_digest(folder)}")


def _original(task: str, file: Path) -> Located:
    return Located(task, file.name, file, f"sha256:{sha256_of(file)}")


def _from_hub(task: str, name: str, hub_id: str, *, fetch: bool) -> Located:
    from huggingface_hub import constants

    if not hub_cache.HUB_ID.fullmatch(hub_id):
        raise AutolabelError(f"there is no model {name!r}", hint=_near(task, name))
    here = hub_cache.cached(hub_id, bare=bool(_own_adapter(task, hub_id)))
    if here is not None:
        hub_cache.keep(hub_id, here.commit)
        return Located(task, hub_id, here.path, here.commit)
    if fetch and not constants.HF_HUB_OFFLINE:
        try:
            pulled = hub.pull(hub_id)
        except AutolabelError as e:
            raise AutolabelError(
                f"model {name!r} is not in {constants.HF_HUB_CACHE}, and {e.message}",
                hint=f"{e.hint}{_bundled(task)}",
            ) from e
        return Located(task, hub_id, pulled.path, pulled.commit)
    raise AutolabelError(
        f"model {name!r} is not in {constants.HF_HUB_CACHE} and cannot be fetched: "
        "the network is off (--offline or HF_HUB_OFFLINE)",
        hint=f"run `autolabel models pull {name}` where there is a network{_bundled(task)}",
    )


def _bundled(task: str) -> str:
    """Return a model that would run now, where the current folder holds one."""
    folder = Path(BUNDLED.get(task, ""))
    return f", or use {folder} now" if (folder / "config.json").is_file() else ""


def _near(task: str, name: str) -> str:
    names = [n for n, r in registered().items() if r.task == task]
    return suggest(name, names, "use a folder that exists, a hub id (owner/name), or one of")
