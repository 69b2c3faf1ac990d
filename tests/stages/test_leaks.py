"""The leak guard: what was made from a held-out photo, and what only shares its scene."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.errors import AutolabelError
from autolabel.stages.held_out import HeldOutPhoto
from autolabel.stages.leaks import HeldOutIndex
from benchmarks.leak_pictures import CHANGES, SCENES, Picture
from tests.conftest import SAMPLE

VALIDATION = SAMPLE / "blood_cells/validation"


def rng(*key: object) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(repr(key).encode()).digest()))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def guard(photos: list[Path]) -> HeldOutIndex:
    return HeldOutIndex([HeldOutPhoto.read(path) for path in photos], 6)


def kind(guarded: HeldOutIndex, image: Image.Image) -> str:
    found = guarded.find(pixels(image))
    return "none" if found is None else found.kind


@pytest.fixture(scope="module")
def smears() -> list[Path]:
    return sorted(VALIDATION.glob("*.jpg"))


@pytest.fixture(scope="module")
def three(smears: list[Path]) -> HeldOutIndex:
    return guard(smears[:12:4])


@pytest.mark.parametrize(
    "change",
    [
        "cropped by 10 % a side", "lower half, mirrored", "a quarter, as JPEG of half size",
        "letterboxed", "rotated by 15°", "black square of 1 %", "brightened by half", "equalised",
    ],
)  # fmt: skip
def test_a_derived_picture_leaks(three: HeldOutIndex, smears: list[Path], change: str) -> None:
    photo = smears[4]
    found = three.find(pixels(CHANGES[change](Image.open(photo).convert("RGB"), rng(change))))
    assert found is not None
    assert (found.kind, found.held.path) == ("derived", photo)
    assert found.note.startswith(f"made from held-out {photo} (")


def test_another_photo_of_the_same_kind_does_not(three: HeldOutIndex, smears: list[Path]) -> None:
    assert [kind(three, Image.open(path)) for path in smears[1:12:4]] == ["none"] * 3


def scene(name: str, count: int, folder: Path) -> tuple[list[Path], Picture]:
    draw = SCENES[name](5)
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        draw(rng(name, i)).save(path)
    return paths, draw


@pytest.mark.parametrize("name", SCENES)
def test_other_objects_before_one_background_do_not_leak(tmp_path: Path, name: str) -> None:
    paths, draw = scene(name, 5, tmp_path)
    guarded = guard(paths)
    others = [kind(guarded, draw(rng(name, "other", i))) for i in range(4)]
    assert others == ["none" if name == "blank" else "near"] * 4
    copy = CHANGES["JPEG of quality 40"](Image.open(paths[0]), rng())
    assert kind(guarded, copy) == ("none" if name == "blank" else "derived")
    assert kind(guarded, Image.open(paths[0])) == "equal"


def test_a_larger_object_in_the_place_of_another_does_not_leak(tmp_path: Path) -> None:
    paths, draw = scene("horizon", 12, tmp_path)
    guarded = guard(paths)
    assert kind(guarded, draw(rng("horizon", "other", 6))) == "near"
    assert kind(guarded, draw(rng("horizon", "other", 10))) == "near"


def test_the_same_objects_from_beside_are_near(smears: list[Path], tmp_path: Path) -> None:
    photo = Image.open(smears[0])
    photo.crop((0, 0, 500, 480)).save(tmp_path / "left.png")
    assert kind(guard([tmp_path / "left.png"]), photo.crop((140, 0, 640, 480))) == "near"


def test_a_held_out_photo_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    (tmp_path / "broken.jpg").write_bytes(buffer.getvalue()[:300])
    with pytest.raises(AutolabelError, match=r"held-out photo .*broken\.jpg"):
        HeldOutPhoto.read(tmp_path / "broken.jpg")


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_nineteen_of_twenty_derived_pictures_leak(smears: list[Path], change: str) -> None:
    guarded = guard(smears[::3])
    kinds = [
        kind(guarded, CHANGES[change](Image.open(path).convert("RGB"), rng(change, path.name)))
        for path in smears[::3]
    ]
    assert kinds.count("derived") >= 0.95 * len(kinds)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_one_of_fifty_pictures_of_a_scene_may_leak(tmp_path: Path, name: str) -> None:
    paths, draw = scene(name, 30, tmp_path)
    guarded = guard(paths)
    kinds = [kind(guarded, draw(rng(name, "other", i))) for i in range(50)]
    assert kinds.count("derived") <= 1
