"""The options of training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from autolabel.config.base import Config, as_list


class TrainConfig(Config):
    """Which student learns the kept labels, and how; the names are those of ultralytics."""

    # run.json holds the student's content, the labels' fingerprint and the layer in their place.
    HOW: ClassVar[frozenset[str]] = frozenset({"student", "name", "from_layer", "holdout"})

    student: str = Field(
        "yolo26n.yaml",
        min_length=1,
        description="What learns: a model .yaml such as yolo26n.yaml (random start), or a .pt file "
        "to start from. Nothing is fetched.",
    )
    name: str | None = Field(
        None, description="Name of its folder below train/; by default that of the student."
    )
    task: Literal["auto", "detect", "segment"] = Field(
        "auto",
        description="Boxes or masks; auto: masks where the labels have them and the student can.",
    )
    from_layer: str | None = Field(
        None, alias="from", description="Layer to learn from; the newest with labels by default."
    )
    holdout: tuple[str, ...] = Field(
        (),
        description="Hand-labelled photos (file or folder, or any labels that --truth takes): "
        "whatever equals one of them or was made from one is not learned from, also where it was "
        "ingested without --holdout.",
    )
    val_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the auto-labelled images that chooses the best epoch and the "
        "student's operating threshold and is not learned from; near duplicates stay together.",
    )
    background_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Images without any label are at most this share of the images.",
    )
    epochs: int = Field(100, ge=1, le=100_000, description="How often every image is seen.")
    imgsz: int = Field(
        640, ge=64, le=4096, multiple_of=32, description="Longer side of an image, in pixels."
    )
    batch: int = Field(16, ge=1, le=4096, description="Images per optimizer step.")
    optimizer: Literal["auto", "AdamW", "SGD", "MuSGD"] = Field(
        "auto", description="auto: the choice of ultralytics, learning rate included."
    )
    lr0: float = Field(0.01, gt=0, le=1, description="Learning rate at first, unless auto.")
    mosaic: float = Field(1.0, ge=0, le=1, description="Probability of joining four images to one.")
    close_mosaic: int = Field(10, ge=0, description="Without mosaic in so many last epochs.")
    scale: float = Field(0.5, ge=0, lt=1, description="Images grow or shrink by up to this share.")
    fliplr: float = Field(0.5, ge=0, le=1, description="Probability of a mirror image.")
    flipud: float = Field(0.0, ge=0, le=1, description="Probability of turning upside down.")
    cache: bool = Field(False, description="Keep the images in memory, resized.")
    seed: int = Field(
        0,
        ge=0,
        description="Seed of the start, the split and the augmentation. The same seed gives the "
        "same weights on the same kind of processor and with the same versions of the libraries; "
        "elsewhere figures differ somewhat.",
    )

    _listed = field_validator("holdout", mode="before")(lambda v: as_list(v))
