"""The options of `evaluate`."""

from __future__ import annotations

from pydantic import Field, field_validator

from autolabel.config.base import Config, as_list


class EvaluateConfig(Config):
    """What labels and students are measured against, and how."""

    truth: str = Field(
        min_length=1, description="Hand labels: COCO JSON, YOLO or VOC; a file or a folder."
    )
    layer: str | None = Field(
        None,
        description="Measure this layer of labels alone; by default the raw boxes and the newest "
        "layer with labels.",
    )
    student: tuple[str, ...] = Field(
        (),
        description="Student to measure: a name below train/, or a .pt file; `none` measures "
        "none. By default every student whose training is complete. Repeat it for more.",
    )
    reference: str | None = Field(
        None,
        min_length=1,
        description="Hand labels of images of the pool: the same student is trained on them by "
        "the same recipe, to show what auto labels cost. Nothing else uses them.",
    )
    iou: float = Field(
        0.5, ge=0.5, le=0.95, description="IoU from which a box counts as found, for P, R and F1."
    )
    score_threshold: float = Field(
        0.0, ge=0, le=1, description="Count only labels with this score for P, R and F1."
    )
    student_threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Count only what a student finds with this score for P, R and F1. By default "
        "its own operating threshold, which training chose on auto-labelled images, or 0.25 where "
        "it has none. The threshold of best F1 is shown beside it; it is chosen on the hand labels "
        "themselves, so its F1 is optimistic.",
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
    speed_images: int = Field(
        16,
        ge=0,
        le=10_000,
        description="Photos on which teacher and students are timed, where there is a student; 0 "
        "turns it off.",
    )

    _listed = field_validator("student", mode="before")(lambda v: as_list(v))
