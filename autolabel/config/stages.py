"""The options of the stages, but for those with a file of their own, and of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from autolabel.config.base import Config, OneOf, as_list, read_yaml, scores_in_range
from autolabel.config.classes import Drop, Merge, Rename
from autolabel.errors import UsageError, suggest
from autolabel.ontology import Ontology
from autolabel.reading import parse_json


class EngineConfig(Config):
    """How stages run; none of it changes what they find, but for the rounding of floats."""

    engine: Literal["local", "ray"] = Field(
        "local",
        description="local: this machine. ray: one model per GPU, on one machine or a cluster; "
        "needs pip install 'autolabel[ray]'.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps|-1)$",
        description="Where models run: auto, cpu, cuda, cuda:N or mps; as in yolo, N is short for "
        "cuda:N, and -1 is the CUDA device with most free memory.",
    )
    batch_size: int = Field(
        0,
        ge=0,
        le=4096,
        description="Images per forward pass of a model; those of one input size go together. 0 "
        "follows the device: on a CPU 1, and 8 for small models; on a GPU as many as half its free "
        "memory holds, 16 at most.",
    )
    workers: int = Field(
        0, ge=0, le=256, description="Threads that read images ahead; 0 is one per core."
    )

    @field_validator("device", mode="before")
    @classmethod
    def _numbered(cls, value: Any) -> Any:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        return f"cuda:{text}" if isinstance(text, str) and text.isdecimal() else text


class IngestConfig(Config):
    """Which images belong to the workspace."""

    HOW: ClassVar[frozenset[str]] = frozenset({"source", "holdout", "shard_size", "prune"})

    source: tuple[str, ...] = Field(
        (), description="Files, folders, globs, a .txt with one path a line, or - for a list."
    )
    holdout: tuple[str, ...] = Field(
        (),
        description="Hand-labelled photos (file or folder, or any labels that --truth takes): "
        "whatever equals one of them, or was made from one by cropping, turning, changing tones "
        "and the like, is marked a leak, and no later stage uses it.",
    )
    near_duplicates: Literal["keep", "group", "drop"] = Field(
        "group",
        description="What becomes of photos that are near a held-out one, as other photos of one "
        "scene are, but not made from it: keep them, keep them in its group, or drop them as "
        "leaks.",
    )
    near_bits: int = Field(
        6,
        ge=-1,
        le=16,
        description="Photos whose 64-bit perceptual hashes differ in at most this many bits are "
        "near duplicates; -1 turns the search off.",
    )
    min_side: int = Field(
        0, ge=0, description="Exclude images whose shorter side has fewer pixels; 0 is off."
    )
    max_aspect: float = Field(
        0.0, ge=0, description="Exclude images whose longer side is more times the shorter; 0: off."
    )
    shard_size: int = Field(
        128,
        ge=1,
        le=100_000,
        description="Images per shard, the files that a layer is made of. A stop costs seconds of "
        "work, whatever their number.",
    )
    prune: bool = Field(
        False,
        description="Mark as gone, of the photos below the folders that are named, those that are "
        "deleted or replaced; a photo that comes back is taken again.",
    )

    _listed = field_validator("source", "holdout", mode="before")(lambda v: as_list(v))


class DetectConfig(Config):
    """What to look for, with which model, and how sure it must be."""

    # The manifest holds the model's revision and the resolved ontology in their place.
    HOW: ClassVar[frozenset[str]] = frozenset({"model", "prompt", "negative", "ontology"})

    model: str = Field(
        "grounding-dino-tiny",
        min_length=1,
        description="Detector: a name from `autolabel models`, a hub id or a local folder.",
    )
    prompt: tuple[str, ...] = Field(
        (),
        description='What to find: "cat", or "CLASS=prompt, prompt" for a class with several '
        "prompts. Repeat it for more classes.",
    )
    negative: tuple[str, ...] = Field(
        (), description="A prompt that competes for boxes and whose boxes are dropped."
    )
    ontology: str | dict[str, Any] | None = Field(
        None,
        description="YAML or JSON file with the classes and their prompts, or the JSON itself: "
        '{"prompt": "class"}.',
    )
    box_threshold: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Lowest score of a box to keep; all are kept where a model gives no scores, as "
        "Florence-2.",
    )
    class_threshold: dict[str, float] = Field(
        {}, description="Lowest score for one class, in place of --box-threshold."
    )
    nms_iou: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Of two boxes of one class that overlap by more (IoU), the lower-scored goes; "
        "1 turns it off.",
    )

    _listed = field_validator("prompt", "negative", mode="before")(lambda v: as_list(v))

    @field_validator("class_threshold")
    @classmethod
    def _in_range(cls, value: dict[str, float]) -> dict[str, float]:
        return scores_in_range(value)

    def resolve_ontology(self) -> Ontology:
        """The classes that the options name.

        Raises:
            UsageError: none are named, both ways are used, or a threshold names no class.
        """
        if self.ontology is not None and self.prompt:
            raise UsageError(
                "both prompts and an ontology are given",
                hint="use --prompt for a few words or --ontology for a file, not both",
            )
        if self.ontology is not None:
            ontology = Ontology.from_mapping(_ontology_data(self.ontology), self.negative)
        elif self.prompt:
            ontology = Ontology.from_prompts(self.prompt, self.negative)
        else:
            raise UsageError("nothing to look for", hint='add --prompt "cat", or --ontology FILE')
        if not any(ontology.classes.values()):
            raise UsageError("no class has a prompt", hint="write classes: {cat: [cat, kitten]}")
        for name in self.class_threshold:
            if name not in ontology.names:
                raise UsageError(
                    f"class_threshold names {name!r}, which is not a class",
                    hint=suggest(name, ontology.names, "the classes are"),
                )
        return ontology


class RefineConfig(Config):
    """How boxes become masks."""

    HOW: ClassVar[frozenset[str]] = frozenset({"model"})

    model: str = Field(
        "sam-vit-base",
        min_length=1,
        description="Segmenter: a name from `autolabel models`, a hub id, a local folder, an "
        "original SAM .pth file, or the .pt file of MobileSAM or FastSAM.",
    )
    multimask: bool = Field(
        True,
        description="Let the model give several masks a box and take the best by its own "
        "estimate; otherwise its single mask.",
    )
    box_agreement: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Pass over a mask whose own box overlaps the prompt by less (IoU) while "
        "another does not; 0 turns it off.",
    )
    box_margin: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Cut off what lies farther outside the box than this share of its sides; off "
        "by default.",
    )
    min_speck: int = Field(
        0,
        ge=0,
        description="Drop parts of a mask with fewer pixels, all but the largest; 0 is off.",
    )
    fill_holes: int = Field(
        0, ge=0, description="Fill holes of a mask with at most so many pixels; 0 is off."
    )
    tighten: bool = Field(False, description="Shrink or grow each box to its mask.")


class ExportConfig(Config):
    """Which labels go where, in which format."""

    format: Annotated[str, OneOf("autolabel.datasets.formats:written")] = Field(
        "coco", description="Format of the dataset."
    )
    out: str = Field(min_length=1, description="Folder to write; only our own files in it change.")
    from_layer: str | None = Field(
        None, alias="from", description="Layer to read; the newest with labels by default."
    )
    task: Literal["auto", "detect", "segment"] = Field(
        "auto", description="Boxes or masks; auto: masks where any kept label has one."
    )
    coco_masks: Literal["rle", "polygon"] = Field(
        "rle",
        description="Masks in COCO: rle holds every pixel, polygon is what more tools edit, but "
        "fills holes.",
    )
    queue: int = Field(
        0,
        ge=0,
        description="Only so many images: those where a look helps most, as `review` orders them; "
        "0 is all.",
    )
    polygons: bool = Field(
        False,
        description="Masks as polygons: in COCO as with --coco-masks polygon, in Label Studio "
        "with seams between parts and holes.",
    )
    val_share: float = Field(
        0.0, ge=0, lt=1, description="Share of the images that goes to the val split."
    )
    test_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the images that goes to a test split. Near duplicates stay together, "
        "and whatever one split grows by is taken from train.",
    )
    seed: int = Field(0, ge=0, description="Seed of the splits.")
    link: Literal["copy", "hardlink", "symlink"] = Field(
        "copy", description="How images get there; turned or unusual ones are always written anew."
    )
    rename: Rename = Field({})
    merge: Merge = Field({})
    drop: Drop = ()

    @field_validator("coco_masks")
    @classmethod
    def _of_coco(cls, value: str, info: ValidationInfo) -> str:
        if value != "rle" and info.data.get("format") != "coco":
            raise ValueError(f"the format is {info.data.get('format')}")
        return value

    @field_validator("polygons")
    @classmethod
    def _of_pixels(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("format") not in ("coco", "label-studio"):
            raise ValueError(f"the format is {info.data.get('format')}")
        return value

    @field_validator("test_share")
    @classmethod
    def _leaves_some(cls, value: float, info: ValidationInfo) -> float:
        if value + info.data.get("val_share", 0) >= 1:
            raise ValueError("with val_share nothing is left for train")
        return value


def _ontology_data(given: str | dict[str, Any]) -> Any:
    if isinstance(given, dict):
        return given
    if given.lstrip().startswith("{"):
        try:
            return parse_json(given)
        except ValueError as e:
            raise UsageError(
                f"--ontology is not valid JSON: {e}", hint='write \'{"red blood cell": "RBC"}\''
            ) from None
    return read_yaml(Path(given))
