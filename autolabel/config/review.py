"""The options of the review page."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from autolabel.config.base import Config


class ReviewConfig(Config):
    """What people look at, and where the page is."""

    queue: str = Field(
        "auto",
        min_length=1,
        description="What comes first: auto, uncertain, rare, disagree, random, or class=NAME for "
        "the labels of one class.",
    )
    limit: int = Field(100, ge=1, le=100_000, description="Look at so many labels at most.")
    audit: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Judge so many labels that are drawn at random, without scores or reasons, and "
        "search one photo for each four of them: precision and recall with their intervals.",
    )
    layer: str | None = Field(None, description="Labels to look at; the newest by default.")
    seed: int = Field(0, ge=0, description="Decides what is drawn at random.")
    by: str = Field(
        "", max_length=100, description="Whose decisions these are; your login name by default."
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Any other than this lets other machines ask for the "
        "page, unencrypted.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port to listen on; a free one by default.")
    open: bool = Field(True, description="Open the page in the browser.")

    PANELS: ClassVar = {"host": "The page"}
