"""What the hub client leaves on disk after a download."""

from __future__ import annotations

import shutil
from pathlib import Path

COMMIT = "c" * 40


def put_in_cache(cache: Path, hub_id: str, checkpoint: Path) -> None:
    """Lay a checkpoint's folder into a cache as if it had been fetched."""
    home = cache / f"models--{hub_id.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text(COMMIT, "utf-8")
    shutil.copytree(checkpoint, home / "snapshots" / COMMIT)
