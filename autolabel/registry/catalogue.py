"""The published checkpoints that have a name of their own here.

Parameters are those of the whole checkpoint, as transformers builds it or as its publisher states
them; what could not be established is None. A commit is not written down here: a model is pinned by
the commit that was first pulled to a machine, which `autolabel models` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autolabel.plugins import PluginTable

TASKS = ("detector", "segmenter", "image-text", "image")


@dataclass(frozen=True)
class Registered:
    """A name for a published checkpoint.

    Attributes:
        task: one of `TASKS`.
        hub_id: `owner/name` on the Hugging Face hub.
        licence: of the weights, as the publisher states it.
        parameters_millions: of the whole checkpoint.
        gated: whether the hub asks for a login and a consent before it hands the weights out.
        adapter: `module:Class` that runs this checkpoint, in place of the one in `ADAPTERS`.
        model_type: the kind that its `config.json` states. A plugin's `adapter` runs other
            checkpoints of that kind too, where none in `ADAPTERS` does.
    """

    task: str
    hub_id: str
    licence: str | None = None
    parameters_millions: float | None = None
    gated: bool = False
    adapter: str = ""
    model_type: str = ""


APACHE, MIT, NON_COMMERCIAL = "Apache-2.0", "MIT", "CC-BY-NC-4.0"
SAM_LICENCE, DINOV3_LICENCE = "SAM licence", "DINOv3 licence"
OPENRAIL = "CreativeML OpenRAIL-M"

_MM, _FLORENCE = "openmmlab-community/mm_grounding_dino", "florence-community/Florence-2"
_LLMDET, _SAM3_LITE = "iSEE-Laboratory/llmdet", "vil-uob/sam3-litetext"
_D, _S, _T, _I = TASKS

# fmt: off
_FAMILIES: tuple[tuple[str, Mapping[str, Registered]], ...] = (
    ("grounding-dino", {
        "grounding-dino-tiny": Registered(_D, "IDEA-Research/grounding-dino-tiny", APACHE, 172),
        "grounding-dino-base": Registered(_D, "IDEA-Research/grounding-dino-base", APACHE, 232),
    }),
    ("mm-grounding-dino", {
        "mm-grounding-dino-tiny": Registered(_D, f"{_MM}_tiny_o365v1_goldg_v3det", APACHE, 172),
        "mm-grounding-dino-base": Registered(_D, f"{_MM}_base_all", APACHE, 232),
        "mm-grounding-dino-large": Registered(_D, f"{_MM}_large_all", APACHE, 342),
        "llmdet-tiny": Registered(_D, f"{_LLMDET}_tiny", APACHE, 172),
        "llmdet-base": Registered(_D, f"{_LLMDET}_base", APACHE, 232),
        "llmdet-large": Registered(_D, f"{_LLMDET}_large", APACHE, 342),
    }),
    ("owlv2", {
        "owlv2-base": Registered(_D, "google/owlv2-base-patch16-ensemble", APACHE, 155),
        "owlv2-large": Registered(_D, "google/owlv2-large-patch14-ensemble", APACHE, 438),
    }),
    ("owlvit", {
        "owlvit-base": Registered(_D, "google/owlvit-base-patch32", APACHE, 153),
        "owlvit-large": Registered(_D, "google/owlvit-large-patch14", APACHE, 434),
    }),
    ("omdet-turbo", {
        "omdet-turbo-tiny": Registered(_D, "omlab/omdet-turbo-swin-tiny-hf", APACHE, 115),
    }),
    ("florence2", {
        "florence-2-base": Registered(_D, f"{_FLORENCE}-base", MIT, 230),
        "florence-2-base-ft": Registered(_D, f"{_FLORENCE}-base-ft", MIT, 230),
        "florence-2-large": Registered(_D, f"{_FLORENCE}-large", MIT, 770),
        "florence-2-large-ft": Registered(_D, f"{_FLORENCE}-large-ft", MIT, 770),
    }),
    ("sam3_video", {
        "sam3": Registered(_D, "facebook/sam3", SAM_LICENCE, 860, gated=True),
    }),
    ("sam3_lite_text", {
        "sam3-litetext-s0": Registered(_D, f"{_SAM3_LITE}-s0", APACHE),
        "sam3-litetext-s1": Registered(_D, f"{_SAM3_LITE}-s1", APACHE),
        "sam3-litetext-l": Registered(_D, f"{_SAM3_LITE}-l", APACHE),
    }),
    ("sam", {
        "sam-vit-base": Registered(_S, "facebook/sam-vit-base", APACHE, 93.7),
        "sam-vit-large": Registered(_S, "facebook/sam-vit-large", APACHE, 312),
        "sam-vit-huge": Registered(_S, "facebook/sam-vit-huge", APACHE, 641),
    }),
    ("sam_hq", {
        "sam-hq-vit-base": Registered(_S, "syscv-community/sam-hq-vit-base", APACHE, 94.8),
        "sam-hq-vit-large": Registered(_S, "syscv-community/sam-hq-vit-large", APACHE, 314),
        "sam-hq-vit-huge": Registered(_S, "syscv-community/sam-hq-vit-huge", APACHE, 600),
    }),
    ("sam2_video", {
        "sam2.1-hiera-tiny": Registered(_S, "facebook/sam2.1-hiera-tiny", APACHE, 38.9),
        "sam2.1-hiera-small": Registered(_S, "facebook/sam2.1-hiera-small", APACHE, 46),
        "sam2.1-hiera-base-plus": Registered(_S, "facebook/sam2.1-hiera-base-plus", APACHE, 80.8),
        "sam2.1-hiera-large": Registered(_S, "facebook/sam2.1-hiera-large", APACHE, 224),
        # Where these hold the authors' .pt alone, ultralytics runs it, which is under AGPL-3.0.
        "sam2-hiera-tiny": Registered(_S, "facebook/sam2-hiera-tiny", APACHE, 38.9),
        "sam2-hiera-small": Registered(_S, "facebook/sam2-hiera-small", APACHE, 46),
        "sam2-hiera-base-plus": Registered(_S, "facebook/sam2-hiera-base-plus", APACHE, 80.8),
        "sam2-hiera-large": Registered(_S, "facebook/sam2-hiera-large", APACHE, 224),
    }),
    ("sam3_video", {
        "sam3-tracker": Registered(_S, "facebook/sam3", SAM_LICENCE, 860, gated=True),
    }),
    ("edgetam_video", {
        "edgetam": Registered(_S, "yonigozlan/EdgeTAM-hf", APACHE, 13.9),
    }),
    ("clip", {
        "clip-vit-base-patch32": Registered(_T, "openai/clip-vit-base-patch32", MIT, 151),
        "clip-vit-base-patch16": Registered(_T, "openai/clip-vit-base-patch16", MIT, 150),
        "clip-vit-large-patch14": Registered(_T, "openai/clip-vit-large-patch14", MIT, 428),
        "openclip-vit-b-32": Registered(_T, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", MIT, 151),
        "openclip-vit-h-14": Registered(_T, "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", MIT, 986),
    }),
    ("siglip", {
        "siglip-base-patch16-224": Registered(_T, "google/siglip-base-patch16-224", APACHE, 203),
        "siglip-so400m": Registered(_T, "google/siglip-so400m-patch14-384", APACHE, 878),
        "siglip2-base-patch16-224": Registered(_T, "google/siglip2-base-patch16-224", APACHE, 375),
    }),
    ("siglip2", {
        "siglip2-naflex": Registered(_T, "google/siglip2-base-patch16-naflex", APACHE, 375),
    }),
    ("clip", {
        "metaclip-b32": Registered(_T, "facebook/metaclip-b32-400m", NON_COMMERCIAL, 151),
    }),
    ("metaclip_2", {
        "metaclip2-b32": Registered(_T, "facebook/metaclip-2-worldwide-b32", NON_COMMERCIAL, 600),
    }),
    ("align", {
        "align-base": Registered(_T, "kakaobrain/align-base", None, 172),
    }),
    ("altclip", {
        "altclip": Registered(_T, "BAAI/AltCLIP", OPENRAIL, 860),
    }),
    ("chinese_clip", {
        "chinese-clip-base": Registered(_T, "OFA-Sys/chinese-clip-vit-base-patch16", None, 188),
    }),
    ("dinov2", {
        "dinov2-small": Registered(_I, "facebook/dinov2-small", APACHE, 22.1),
        "dinov2-base": Registered(_I, "facebook/dinov2-base", APACHE, 86.6),
        "dinov2-large": Registered(_I, "facebook/dinov2-large", APACHE, 304),
    }),
    ("dinov2_with_registers", {
        "dinov2-registers-base": Registered(
            _I, "facebook/dinov2-with-registers-base", APACHE, 86.6
        ),
    }),
    ("dinov3_vit", {
        "dinov3-small": Registered(
            _I, "facebook/dinov3-vits16-pretrain-lvd1689m", DINOV3_LICENCE, 21.6, gated=True
        ),
    }),
    ("dinov3_convnext", {
        "dinov3-convnext-tiny": Registered(
            _I, "facebook/dinov3-convnext-tiny-pretrain-lvd1689m", DINOV3_LICENCE, 27.8, gated=True
        ),
    }),
    ("ijepa", {
        "ijepa-huge": Registered(_I, "facebook/ijepa_vith14_1k", NON_COMMERCIAL, 631),
    }),
    ("vit", {
        "vit-base": Registered(_I, "google/vit-base-patch16-224-in21k", APACHE, 86.4),
    }),
)
# fmt: on
"""The `model_type` that a checkpoint's own `config.json` states, and the names of that kind."""

_PUBLISHED = {
    name: replace(known, model_type=kind)
    for kind, rows in _FAMILIES
    for name, known in rows.items()
}


def _wrong(name: str, found: Registered) -> str | None:
    if found.task not in TASKS:
        return f"there is no task {found.task!r}"
    if found.adapter.count(":") > 1 or (found.adapter and ":" not in found.adapter):
        return f"the adapter {found.adapter!r} is not module:Class"
    return None


MODELS = PluginTable("model", "autolabel.models", _PUBLISHED, Registered, _wrong)
"""name -> checkpoint; of our own only kinds that an adapter in `autolabel.registry.ADAPTERS` runs.
A plugin's `adapter` names a class of its package that is made with a `Located` and a device, and
does what `autolabel.models.base` asks of the task."""
