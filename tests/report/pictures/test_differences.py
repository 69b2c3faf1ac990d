"""Both sides of a difference on one picture: each object where it is, in the colour of its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from autolabel.corrections.diff import diff_layers
from autolabel.report.pictures.differences import COLOURS, draw_difference
from autolabel.report.pictures.photo_reader import PhotoReader
from tests.review.labelled import one, several, workspace, write


def has(page: Image.Image, colour: str, box: tuple[int, int, int, int]) -> bool:
    """Whether a line of the colour crosses the middle of the left side of a box of the page."""
    x, y = box[0], (box[1] + box[3]) // 2
    around = np.asarray(page.crop((x - 2, y - 1, x + 3, y + 2)), int)
    return bool((np.abs(around - ImageColor.getrgb(colour)).max(axis=2) <= 3).any())


def test_both_sides_are_drawn_where_they_are(tmp_path: Path) -> None:
    before = several(one("cat", 0.9, 5), one("cat", 0.9, 30), one("cat", 0.9, 60))
    after = several(one("owl", 0.9, 75), one("cat", 0.9, 5), one("dog", 0.9, 30))
    home = workspace(tmp_path, [before])
    other = write(home, home.layer("detect"), "filter", {}, [after])
    (found,) = diff_layers(home.layer("detect"), other).changed
    page = draw_difference(found, PhotoReader(tmp_path / "photos"), ("detect", "filter"))
    assert page is not None
    assert page.size == (2 * 96 + 8, 64 + 44)
    left, right, top = 0, 96 + 8, 44
    for side, x, kind in (
        (left, 5, "same"), (left, 30, "relabelled"), (left, 60, "removed"),
        (right, 5, "same"), (right, 30, "relabelled"), (right, 75, "added"),
    ):  # fmt: skip
        assert has(page, COLOURS[kind], (side + x, top + 10, side + x + 20, top + 30)), (side, kind)
    assert not has(page, COLOURS["removed"], (right + 60, top + 10, right + 80, top + 30))


def test_a_photo_that_is_gone_is_not_drawn(tmp_path: Path) -> None:
    home = workspace(tmp_path, [one("cat", 0.9)])
    other = write(home, home.layer("detect"), "filter", {}, [one("dog", 0.9)])
    (found,) = diff_layers(home.layer("detect"), other).changed
    next((tmp_path / "photos").iterdir()).unlink()
    photos = PhotoReader(tmp_path / "photos")
    assert draw_difference(found, photos, ("a", "b")) is None
    assert list(photos.gone) == ["0000.png"]
