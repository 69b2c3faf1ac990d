"""The options of the filter: one group of fields per rule, each with a value that is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from autolabel.config.base import Config, as_list, scores_in_range
from autolabel.reading import parse_yaml


class FilterConfig(Config):
    """Which labels stay. Every rejection keeps its object, with the rule and the figure."""

    # The manifest holds the models' revisions in place of their names.
    HOW: ClassVar[frozenset[str]] = frozenset({"clip", "dinov2", "examples"})
    PANELS: ClassVar[Mapping[str, str]] = {
        "rules": "Rules and scores",
        "min_side": "Geometry",
        "clip": "CLIP",
        "dinov2": "DINOv2",
        "nms_iou": "Overlap and repeats",
        "plugin_rule": "Rules of plugins",
    }

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
        description="Prompt templates; {} is the prompt, and their vectors are averaged.",
    )
    background: tuple[str, ...] = Field(
        ("background", "nothing", "an empty area", "a blurry patch"),
        min_length=1,
        description="Texts for what is not an object; together they compete like one class.",
    )
    clip_class: bool = Field(
        False, description="Reject where another class, a negative or background is more likely."
    )
    clip_score: float = Field(
        0.0, ge=0, le=1, description="Lowest probability of a label's own class; 0 is off."
    )
    clip_margin: float = Field(
        -1.0,
        ge=-1,
        le=1,
        description="Least by which that probability exceeds the next best; -1 is off.",
    )
    clip_image: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Lowest probability, against background, that the whole image shows the "
        "class; 0 is off.",
    )
    dinov2: str = Field(
        "",
        description="Image-only embedder (DINOv2, DINOv3, I-JEPA, …) that compares crops: a name, "
        "a hub id or a local folder; none by default.",
    )
    neighbours: int = Field(
        10,
        ge=1,
        le=1000,
        description="Nearest prototypes of a class that a crop is compared with.",
    )
    crowd_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a class's labels, the most typical ones, that are its prototypes.",
    )
    dinov2_class: float = Field(
        0.0,
        ge=0,
        description="Reject where the distance to the own class's prototypes is over this many "
        "times the distance to another's; 0 is off.",
    )
    dinov2_distance: float = Field(
        0.0,
        ge=0,
        description="Largest distance to the class's prototypes, in units of the class's median; "
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
        0.8, ge=0, le=1, description="Probability from which the probe is sure of another class."
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

    plugin_rule: dict[str, JsonValue] = Field(
        {},
        description="Rules of installed packages, each turned on by the value of its option: a "
        "number, a text, or {OPTION: VALUE, …}.",
    )

    _listed = field_validator("rules", "templates", "background", mode="before")(
        lambda v: as_list(v)
    )

    @field_validator("class_min_score")
    @classmethod
    def _in_range(cls, value: dict[str, float]) -> dict[str, float]:
        return scores_in_range(value)

    @field_validator("plugin_rule", mode="before")
    @classmethod
    def _as_in_yaml(cls, value: Any) -> Any:
        """Take a flag's text as YAML, so that a flag and a file say the same."""
        if not isinstance(value, Mapping):
            return value
        return {k: parse_yaml(v) if isinstance(v, str) else v for k, v in value.items()}

    @field_validator("templates")
    @classmethod
    def _with_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for template in value:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} must hold {{}} once, for the prompt")
        return value

    def settings(self) -> dict[str, Any]:
        """Return the options that shape the content, without those that only plugins have."""
        settings = super().settings()
        if not self.plugin_rule:  # so that layers which are older than this option stay current
            del settings["plugin_rule"]
        return settings
