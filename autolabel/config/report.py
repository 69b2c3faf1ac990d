"""The options of the report."""

from __future__ import annotations

from pydantic import Field

from autolabel.config.base import Config


class ReportConfig(Config):
    """What the page shows, and where it goes."""

    out: str = Field(
        "", description="HTML file to write; report/report.html in the workspace by default."
    )
    layer: str | None = Field(None, description="Labels to show; the newest by default.")
    images: int = Field(
        6, ge=0, le=60, description="Photos of each kind that are shown with their labels."
    )
    crops: int = Field(
        12, ge=0, le=100, description="Labels shown of each class and of each reason."
    )
    open: bool = Field(False, description="Open the page in the browser when it is written.")
