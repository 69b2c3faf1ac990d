"""Folders of a workspace that hold layers themselves."""

from __future__ import annotations

EMBED = "embed"
"""Folder of the layers `embed/NAME`, which hold the vectors of another layer's crops."""
STUDENT = "student"
"""Folder of the layers `student/NAME`, which hold what students find in hand-labelled photos."""
GROUPS = (EMBED, STUDENT)


def made_by(layer: str) -> str:
    """Return the command that makes a layer.

    >>> made_by("embed/clip")
    'autolabel filter'
    """
    group = layer.partition("/")[0]
    commands = {"scan": "ingest", "images": "ingest", EMBED: "filter", STUDENT: "evaluate"}
    return f"autolabel {commands.get(group, group)}"
