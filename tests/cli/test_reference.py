from __future__ import annotations

from autolabel.cli.reference import reference
from tests.conftest import REPO


def test_the_page_of_options_is_up_to_date() -> None:
    page = (REPO / "configs/README.md").read_text("utf-8")
    assert page == reference(), "run: python -m autolabel.cli.reference > configs/README.md"


def test_it_states_defaults_and_bounds() -> None:
    page = reference()
    assert "| `box_threshold` | `--box-threshold` | `0.35` | ≥ 0, ≤ 1 | Lowest score" in page
    assert "| `truth` | `--truth` | required |" in page
    assert "`copy`, `hardlink`, `symlink`" in page
