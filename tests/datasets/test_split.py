"""Which images go to val."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autolabel.datasets.split import held_back
from tests.datasets.conftest import Fixture


def val_images(groups: dict[str, str], share: float, seed: int) -> set[str]:
    """The images of val, where there is no test split."""
    return set(held_back(groups, share, 0, seed))


@given(
    st.dictionaries(st.text(max_size=4), st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    st.floats(0, 0.99),
    st.integers(0, 9),
)
def test_the_split_keeps_groups_whole(groups: dict[str, str], share: float, seed: int) -> None:
    val = val_images(groups, share, seed)
    train = groups.keys() - val
    assert val == val_images(dict(reversed(groups.items())), share, seed)
    assert not {groups[i] for i in val} & {groups[i] for i in train}
    assert train
    assert bool(val) == (share > 0 and len(set(groups.values())) > 1)


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.01, 1), (0.2, 20), (0.5, 50), (0.99, 99)])
def test_the_share_is_met_where_groups_allow(share: float, count: int) -> None:
    groups = {str(i): str(i) for i in range(100)}
    assert len(val_images(groups, share, 0)) == count
    if 0 < share < 0.99:
        assert val_images(groups, share, 0) != val_images(groups, share, 1)


def grouped(**sizes: int) -> dict[str, str]:
    """Image id -> group, of groups of these sizes."""
    return {f"{group}{i}": group for group, size in sizes.items() for i in range(size)}


@pytest.mark.parametrize("seed", range(8))
def test_where_no_group_can_be_cut_the_smallest_goes_whole(seed: int) -> None:
    """Every group is far larger than the share."""
    groups = grouped(a=30, b=10, c=20)
    assert val_images(groups, 0.01, seed) == set(grouped(b=10))
    assert val_images(grouped(a=30), 0.5, seed) == set()


@pytest.mark.parametrize("seed", range(8))
def test_a_share_of_nearly_all_leaves_a_group_to_learn_from(seed: int) -> None:
    groups = grouped(a=10, b=10)
    val = val_images(groups, 0.99, seed)
    assert val in (set(grouped(a=10)), set(grouped(b=10)))


@given(
    st.dictionaries(st.text(max_size=4), st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    st.floats(0, 0.5, exclude_max=True),
    st.floats(0.01, 0.5),
    st.integers(0, 9),
)
def test_a_test_split_is_apart_and_keeps_groups_whole(
    groups: dict[str, str], val: float, test: float, seed: int
) -> None:
    split = held_back(groups, val, test, seed)
    assert split == held_back(dict(reversed(groups.items())), val, test, seed)
    of_group: dict[str, set[str]] = {}
    for image, group in groups.items():
        of_group.setdefault(group, set()).add(split.get(image, "train"))
    assert all(len(splits) == 1 for splits in of_group.values())
    there = set().union(*of_group.values())
    asked = {"train", "test"} | ({"val"} if val else set())
    assert "train" in there
    if len(of_group) >= len(asked):
        assert there == asked


@given(st.floats(0.01, 0.4), st.floats(0.01, 0.4), st.floats(0, 0.19), st.integers(0, 9))
def test_what_a_split_grows_by_was_in_train(
    val: float, test: float, more: float, seed: int
) -> None:
    groups = {str(i): str(i) for i in range(60)}
    before = held_back(groups, val, test, seed)
    for grown in (
        held_back(groups, val + more, test, seed),
        held_back(groups, val, test + more, seed),
    ):
        assert before.items() <= grown.items()
    alone = held_back(groups, val, 0, seed)
    assert {i for i, split in before.items() if split == "val"} == alone.keys()


def test_an_export_of_one_scene_has_no_val_split_and_says_so_to_trainers(made: Fixture) -> None:
    made.write(*(replace(record, group="one scene") for record in made.records))
    done = made.export("yolo", val_share=0.4)
    assert done.splits == {"train": 5}
    data = yaml.safe_load((made.out / "data.yaml").read_text("utf-8"))
    assert (data["train"], data["val"]) == ("images/train", "images/train")
    assert not (made.out / "images/val").exists()
    made.write(*(replace(r, group=str(i < 2)) for i, r in enumerate(made.records)))
    assert made.export("yolo", val_share=0.01).splits == {"train": 3, "val": 2}
