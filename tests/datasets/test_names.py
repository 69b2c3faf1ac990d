"""File names that every system takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.datasets.names import tidy_stem, unique_stems
from tests.conftest import make_photos
from tests.datasets.conftest import Fixture


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["a.jpg", "a.png"], ["a-{0}", "a-{1}"]),
        (["A.png", "a.jpg"], ["A-{0}", "a-{1}"]),
        (["a/1.png", "b/1.png", "2.png"], ["1-{0}", "1-{1}", "2"]),
        (["снимок 1.png", "it's.png"], ["снимок 1", "it's"]),
        (["a\nb.png", 'a"b*.png'], ["a_b", "a_b_"]),
        (["con.png", ".hidden.png", "a .png"], ["_con", "_hidden", "a"]),
    ],
)
def test_names_are_flat_and_unique(tmp_path: Path, names: list[str], stems: list[str]) -> None:
    paths = []
    for name, photo in zip(names, make_photos(tmp_path / "made", len(names)), strict=True):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(photo.rename(path))
    made = Fixture(tmp_path, paths)
    made.export("yolo")
    ids = [record.image_id[:8] for record in made.records]
    expected = sorted(stem.format(*ids) + ".png" for stem in stems)  # by content, whatever the name
    assert sorted(p.name for p in (made.out / "images" / "train").iterdir()) == expected
    assert len(read_ground_truth(made.out).records) == len(names)


@given(st.text(max_size=300))
def test_a_tidy_name_is_taken_everywhere(stem: str) -> None:
    tidy = tidy_stem(stem)
    assert tidy
    assert tidy.isprintable()
    assert not set(tidy) & set('<>:"/\\|?*')
    assert not tidy.startswith((".", " "))
    assert not tidy.endswith((".", " "))
    assert len(tidy.encode()) < 240
    assert tidy_stem(tidy) == tidy


@given(st.dictionaries(st.uuids().map(lambda u: u.hex), st.sampled_from(["a", "A", "b", "a-0"])))
def test_names_are_unique_whatever_the_case_and_order(stems: dict[str, str]) -> None:
    names = unique_stems(stems)
    assert len({name.casefold() for name in names.values()}) == len(stems)
    assert names == unique_stems(dict(reversed(stems.items())))


def test_a_name_that_looks_like_a_collision_is_kept_apart() -> None:
    ids = ["0" * 8 + "1" * 24, "2" * 32, "3" * 32]
    names = unique_stems(dict(zip(ids, ["x", "X", "x-00000000"], strict=True)))
    assert len({name.casefold() for name in names.values()}) == 3
