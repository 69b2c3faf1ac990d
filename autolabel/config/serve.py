"""The options of `serve`."""

from __future__ import annotations

from pydantic import Field

from autolabel.config.base import Config


class ServeConfig(Config):
    """Who may ask, which labels are answered, and where else photos are looked for."""

    from_layer: str | None = Field(
        None, alias="from", description="Layer to answer from; the newest with labels by default."
    )
    port: int = Field(9090, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Where it is not this machine alone, a password is "
        "asked for.",
    )
    known_as: tuple[str, ...] = Field(
        (),
        description="Another name that the tool asks this server by, such as host.docker.internal.",
    )
    document_root: str | None = Field(
        None,
        description="Folder that Label Studio serves its local files from, for photos that are "
        "not in the workspace. Nothing outside it is read.",
    )
    model: bool = Field(
        True,
        description="Ask the models of the workspace about photos that are not in it; without, "
        "these are left unanswered.",
    )
