"""The options of what people do to labels: `import`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from autolabel.config.base import Config


class ImportConfig(Config):
    """How people's labels are read, and what is taken for said by them."""

    format: str | None = Field(
        None,
        description="Format of the labels, as `autolabel formats` lists them; told from the files "
        "by default.",
    )
    by: str | None = Field(
        None, min_length=1, description="Who labelled, where the files do not say."
    )
    class_map: dict[str, str] = Field(
        {},
        description="A class of the labels = its name in the workspace; X= leaves X out. By "
        "default names are the same, and one that the workspace has not becomes its last class.",
    )
    unchanged: Literal["auto", "confirm", "leave"] = Field(
        "auto",
        description="Labels that came back as they were: `auto` takes them for confirmed where "
        "the files say so, or where something else in their image was changed; `confirm` takes "
        "all of them for looked at, `leave` none.",
    )
    deletions: bool = Field(
        True,
        description="A label of the workspace that is not in a labelled image any more was "
        "deleted; but for classes that the labels do not know.",
    )
