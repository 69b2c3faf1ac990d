"""Which images go to val."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.datasets.split import val_images


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
