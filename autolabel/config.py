"""One frozen model per stage. Flag, YAML key, default, bounds and help come from its fields.

A model's `settings` are what shapes a layer's content and so binds it; sources, output folders and
engine options say only how or where, and are left out.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from autolabel.errors import AutolabelError, UsageError
from autolabel.ontology import Ontology


class Config(BaseModel):
    """A frozen group of options; an unknown key is refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )
    HOW: ClassVar[frozenset[str]] = frozenset()

    def settings(self) -> dict[str, Any]:
        """The options that shape the content, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.HOW))


class EngineConfig(Config):
    """How stages run; none of it changes what they find."""

    engine: Literal["local", "ray"] = Field(
        "local",
        description="local: this machine. ray: one model per GPU, on one machine or a cluster; "
        "needs pip install 'autolabel[ray]'.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="Where models run: auto, cpu, cuda, cuda:N or mps.",
    )
    batch_size: int = Field(4, ge=1, le=4096, description="Images per forward pass of a model.")
    workers: int = Field(
        0, ge=0, le=256, description="Threads that read images ahead; 0 is one per core."
    )


class IngestConfig(Config):
    """Which images belong to the workspace."""

    HOW: ClassVar[frozenset[str]] = frozenset({"source", "holdout", "shard_size"})

    source: tuple[str, ...] = Field(
        (), description="Files, folders, globs, a .txt with one path a line, or - for a list."
    )
    holdout: tuple[str, ...] = Field(
        (),
        description="Hand-labelled photos (file or folder): whatever equals or nearly equals one "
        "of them is marked a leak, and no later stage uses it.",
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
        128, ge=1, le=100_000, description="Images per shard: what a crash can cost."
    )

    _listed = field_validator("source", "holdout", mode="before")(lambda v: _as_list(v))


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
    box_threshold: float = Field(0.35, ge=0, le=1, description="Lowest score of a box to keep.")
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

    _listed = field_validator("prompt", "negative", mode="before")(lambda v: _as_list(v))

    @field_validator("class_threshold")
    @classmethod
    def _in_range(cls, value: dict[str, float]) -> dict[str, float]:
        return _scores(value)

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
        for name in self.class_threshold:
            if name not in ontology.names:
                raise UsageError(
                    f"class_threshold names {name!r}, which is no class",
                    hint=suggest(name, ontology.names, "the classes are"),
                )
        return ontology


class FilterConfig(Config):
    """Which labels stay. Every rejection keeps its object, with the rule and the figure."""

    # The manifest holds the models' revisions in place of their names.
    HOW: ClassVar[frozenset[str]] = frozenset({"clip", "dinov2", "examples"})

    rules: tuple[str, ...] = Field(
        (),
        description="Rules to apply, in this order; by default all, in the order of the options.",
    )
    min_score: float = Field(0.0, ge=0, le=1, description="Lowest score of a label; 0 is off.")
    class_min_score: dict[str, float] = Field(
        {}, description="Lowest score for one class, in place of --min-score."
    )
    min_side: float = Field(0.0, ge=0, description="Shortest side of a box in pixels; 0 is off.")
    max_aspect: float = Field(
        0.0, ge=0, description="Most that a box's longer side may be of its shorter; 0 is off."
    )
    min_area: float = Field(0.0, ge=0, description="Least square pixels of a box; 0 is off.")
    min_share: float = Field(
        0.0, ge=0, le=1, description="Least share of the image that a box covers; 0 is off."
    )
    max_share: float = Field(
        1.0, gt=0, le=1, description="Largest share of the image that a box covers; 1 is off."
    )
    border: float = Field(
        -1.0,
        ge=-1,
        description="Reject boxes that the image's border cuts: within so many pixels; -1 is off.",
    )
    mask_fill: float = Field(
        0.0, ge=0, le=1, description="Least share of its box that a mask fills; 0 is off."
    )
    clip: str = Field(
        "",
        description="Image-text embedder (CLIP, SigLIP, …) that judges crops: a name from "
        "`autolabel models`, a hub id or a local folder; none by default.",
    )
    context: float = Field(
        0.15,
        ge=0,
        le=2,
        description="Share of a box's side that is added at each side of its crop.",
    )
    templates: tuple[str, ...] = Field(
        (
            "a photo of a {}.",
            "a photo of the {}.",
            "a cropped photo of a {}.",
            "a close-up photo of a {}.",
            "a bad photo of a {}.",
        ),
        min_length=1,
        description="Sentences around a prompt, whose vectors are averaged; {} is the prompt.",
    )
    background: tuple[str, ...] = Field(
        ("background", "nothing", "an empty area", "a blurry patch"),
        min_length=1,
        description="Texts for what is no object; together they compete like one class.",
    )
    clip_class: bool = Field(
        False, description="Reject where another class, a negative or background is more likely."
    )
    clip_score: float = Field(
        0.0, ge=0, le=1, description="Lowest chance of a label's own class; 0 is off."
    )
    clip_margin: float = Field(
        -1.0,
        ge=-1,
        le=1,
        description="Least by which that chance exceeds the next best; -1 is off.",
    )
    clip_image: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Lowest chance, against background, that the whole image shows the class; "
        "0 is off.",
    )
    dinov2: str = Field(
        "",
        description="Image-only embedder (DINOv2, DINOv3, I-JEPA, …) that compares crops: a name, "
        "a hub id or a local folder; none by default.",
    )
    neighbours: int = Field(
        10, ge=1, le=1000, description="Crops of a class's crowd that a crop is compared with."
    )
    crowd_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a class's labels, the most typical ones, that make its crowd.",
    )
    dinov2_class: float = Field(
        0.0,
        ge=0,
        description="Reject where the distance to the own class's crowd is over this many times "
        "the distance to another's; 0 is off.",
    )
    dinov2_distance: float = Field(
        0.0,
        ge=0,
        description="Largest distance to the class's crowd, in units of what is usual for it; "
        "0 is off.",
    )
    examples: str = Field(
        "",
        description="Folder with labelled example crops, one subfolder per class (others compete "
        "and are rejected), for a probe on the image-only embedder; never the validation photos.",
    )
    probe: Literal["veto", "relabel"] = Field(
        "veto", description="What the probe does where it is sure of another class."
    )
    probe_kind: Literal["neighbours", "logistic"] = Field(
        "logistic", description="How the probe learns: nearest neighbours or logistic regression."
    )
    probe_sure: float = Field(
        0.8, ge=0, le=1, description="Chance from which the probe is sure of another class."
    )
    nms_iou: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Of two boxes of one class that overlap by more (IoU), the lower-scored goes; "
        "1 is off.",
    )
    cross_nms_iou: float = Field(
        1.0, ge=0, le=1, description="The same for boxes of different classes; 1 is off."
    )
    inside: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Reject a box of which at least this share lies in a larger one of its class; "
        "0 is off.",
    )
    max_per_group: int = Field(
        0,
        ge=0,
        description="Most images of one group of near duplicates; the rest are excluded; 0 is off.",
    )

    _listed = field_validator("rules", "templates", "background", mode="before")(
        lambda v: _as_list(v)
    )

    @field_validator("class_min_score")
    @classmethod
    def _in_range(cls, value: dict[str, float]) -> dict[str, float]:
        return _scores(value)

    @field_validator("templates")
    @classmethod
    def _with_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for template in value:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} must hold {{}} once, for the prompt")
        return value

    def check(self) -> None:
        """See that each rule has what it needs.

        Raises:
            UsageError: a rule is on whose model is not named.
        """
        for model, names in (
            ("clip", ("clip_class", "clip_score", "clip_margin", "clip_image")),
            ("dinov2", ("dinov2_class", "dinov2_distance", "examples")),
        ):
            on = [n for n in names if getattr(self, n) != FilterConfig.model_fields[n].default]
            if on and not getattr(self, model):
                raise UsageError(
                    f"{on[0]} needs an embedder",
                    hint=f"name one with --{model}, or {model}: in the file",
                )


class RefineConfig(Config):
    """How boxes become masks."""

    HOW: ClassVar[frozenset[str]] = frozenset({"model"})

    model: str = Field(
        "sam-vit-base",
        min_length=1,
        description="Segmenter: a name from `autolabel models`, a hub id, a local folder or an "
        "original SAM .pth file.",
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

    format: Literal["coco", "yolo"] = Field("coco", description="Format of the dataset.")
    out: str = Field(min_length=1, description="Folder to write; only our own files in it change.")
    from_layer: str | None = Field(
        None, alias="from", description="Layer to read; the newest with labels by default."
    )
    val_share: float = Field(
        0.0, ge=0, lt=1, description="Share of the images that goes to the val split."
    )
    seed: int = Field(0, ge=0, description="Seed of the split.")
    link: Literal["copy", "hardlink", "symlink"] = Field(
        "copy", description="How images get there; turned or unusual ones are always written anew."
    )


class EvaluateConfig(Config):
    """What the labels are measured against, and how."""

    truth: str = Field(
        min_length=1, description="Hand labels: COCO JSON, YOLO or VOC; a file or a folder."
    )
    layer: str | None = Field(
        None, description="Layer to measure; the newest with labels by default."
    )
    iou: float = Field(
        0.5, ge=0.5, le=0.95, description="IoU from which a box counts as found, for P, R and F1."
    )
    score_threshold: float = Field(
        0.0, ge=0, le=1, description="Count only labels with this score for P, R and F1."
    )
    class_map: dict[str, str] = Field(
        {},
        description="A class of the hand labels = its name in the workspace; X= leaves X out.",
    )
    label_truth: bool | None = Field(
        None,
        description="Label the hand-labelled photos with the layer's own settings, in a workspace "
        "beside it. By default done when those photos were held out.",
    )
    bootstrap: int = Field(
        1000, ge=0, le=100_000, description="Bootstrap samples of the images for the intervals."
    )
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
    worst: int = Field(10, ge=0, description="How many of the worst images to list.")


class PipelineConfig(Config):
    """A whole run in one file; a stage that is left out does not run."""

    workspace: str = Field(min_length=1, description="Folder of the label store.")
    engine: EngineConfig = EngineConfig()
    ingest: IngestConfig
    detect: DetectConfig
    refine: RefineConfig | None = None
    filter: FilterConfig | None = None
    export: tuple[ExportConfig, ...] = ()
    evaluate: EvaluateConfig | None = None

    _listed = field_validator("export", mode="before")(
        lambda v: [v] if isinstance(v, Mapping) else v
    )


AnyConfig = TypeVar("AnyConfig", bound=Config)


def build(model: type[AnyConfig], values: Mapping[str, Any], *, flags: bool) -> AnyConfig:
    """Validate options.

    Args:
        model: the group of options.
        values: what was given, by field name or alias.
        flags: whether to name an option in errors as a flag (`--box-threshold`) or as a key.

    Raises:
        UsageError: a value is out of bounds or of the wrong type, or a key is unknown.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as e:
        raise _usage_error(model, e, flags=flags) from None


def load_pipeline(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a pipeline file and apply ``stage.key=value`` overrides.

    Raises:
        AutolabelError: the file cannot be read.
        UsageError: it is not a pipeline, or an override is not.
    """
    data = _read_yaml(path)
    if not isinstance(data, dict):
        raise UsageError(
            f"{path} is not a pipeline file", hint="start from a copy of configs/demo.yaml"
        )
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--set {text!r} is not KEY=VALUE", hint="write --set detect.box_threshold=0.25"
            )
        _assign(data, key.strip().split("."), _yaml_value(text, value))
    return build(PipelineConfig, data, flags=False)


def suggest(word: str, known: Sequence[str], intro: str) -> str:
    """A hint for a name that is not known: the nearest one, else all of them.

    >>> suggest("promt", ["prompt", "model"], "the keys are")
    "did you mean 'prompt'?"
    """
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{intro}: {', '.join(known)}"


def _scores(value: dict[str, float]) -> dict[str, float]:
    for name, threshold in value.items():
        if not 0 <= threshold <= 1:
            raise ValueError(f"the threshold of {name!r} must be from 0 to 1, not {threshold}")
    return value


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except OSError as e:
        raise AutolabelError(
            f"{path} cannot be read: {e.strerror}", hint="name a YAML file that exists"
        ) from e
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        where = " ".join(str(e).split())
        raise UsageError(f"{path} is not valid YAML: {where}", hint="mend that line") from e


def _yaml_value(text: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError(
            f"the value in --set {text!r} is not valid YAML", hint="put the value in quotes"
        ) from None


def _assign(data: dict[str, Any], keys: list[str], value: Any) -> None:
    target: Any = data
    for i, key in enumerate(keys):
        last = i == len(keys) - 1
        if isinstance(target, list):
            if not key.isdigit() or int(key) >= len(target):
                raise UsageError(
                    f"--set {'.'.join(keys)}: {key!r} is not one of its {len(target)} entries",
                    hint=f"write {'.'.join([*keys[:i], '0', *keys[i + 1 :]])}=…",
                )
            position: Any = int(key)
        else:
            position = key
        if last:
            target[position] = value
        else:
            if isinstance(target, dict) and target.get(key) is None:
                target[key] = {}
            target = target[position]
            if not isinstance(target, dict | list):
                raise UsageError(
                    f"--set {'.'.join(keys)}: {key!r} holds a value, not keys",
                    hint=f"write --set {'.'.join(keys[: i + 1])}=…",
                )


def _ontology_data(given: str | dict[str, Any]) -> Any:
    if isinstance(given, dict):
        return given
    if given.lstrip().startswith("{"):
        try:
            return json.loads(given)
        except ValueError as e:
            raise UsageError(
                f"--ontology is not valid JSON: {e}", hint='write \'{"red blood cell": "RBC"}\''
            ) from None
    return _read_yaml(Path(given))


def _usage_error(model: type[Config], error: ValidationError, *, flags: bool) -> UsageError:
    first = error.errors(include_url=False)[0]
    path = [str(p) for p in first["loc"]]
    owner, known = _owner(model, path)
    name = f"--{path[-1].replace('_', '-')}" if flags and path else ".".join(path)
    if flags and len(path) > 1:
        name = f"--{path[0].replace('_', '-')}"
    if first["type"] == "extra_forbidden":
        return UsageError(f"unknown key {name!r}", hint=suggest(path[-1], known, "the keys are"))
    if first["type"] == "missing":
        return UsageError(
            f"{name} is missing", hint=_help(owner, path[-1]) or f"add {name} to the file"
        )
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    given = first["input"]
    shown = given if isinstance(given, str) else json.dumps(given, default=str, ensure_ascii=False)
    return UsageError(
        f"{name} cannot be {shown[:80]}: {reason}",
        hint=_help(owner, path[-1]) or f"change {name}",
    )


def _owner(model: type[Config], path: Sequence[str]) -> tuple[type[Config], list[str]]:
    """The group of options that the last key of `path` belongs to, and its keys."""
    groups: dict[str, type[Config]] = {
        "engine": EngineConfig,
        "ingest": IngestConfig,
        "detect": DetectConfig,
        "refine": RefineConfig,
        "filter": FilterConfig,
        "export": ExportConfig,
        "evaluate": EvaluateConfig,
    }
    if model is PipelineConfig and len(path) > 1 and path[0] in groups:
        model = groups[path[0]]
    return model, [f.alias or name for name, f in model.model_fields.items()]


def _help(model: type[Config], key: str) -> str:
    for name, f in model.model_fields.items():
        if key in (name, f.alias):
            return (f.description or "").rstrip(".")
    return ""
