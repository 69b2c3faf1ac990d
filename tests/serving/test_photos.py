"""Which photo of a workspace a tool's task shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.serving.photos import Photos

URIS = {"1": "a/cat.jpg", "2": "b/cat.jpg", "3": "b/dog 1 (copy).jpg", "4": "снимок.png"}


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("cat.jpg", None),  # of two
        ("a/cat.jpg", "1"),
        ("photos/b/cat.jpg", None),
        ("dog 1 (copy).jpg", "3"),
        ("dog_1_copy.jpg", "3"),  # as Label Studio calls an upload
        ("images/train/dog 1 (copy).png", "3"),  # as an export calls one that it wrote anew
        ("images/train/cat-1.jpg", "1"),
        ("снимок.png", "4"),
        (r"images\train\снимок.png", "4"),
        ("bird.jpg", None),
        ("", None),
        ("..", None),
        ("a\0b", None),
    ],
)
def test_a_photo_is_found_by_name(tmp_path: Path, name: str, image_id: str | None) -> None:
    assert Photos(URIS, tmp_path).find([name]).image_id == image_id
