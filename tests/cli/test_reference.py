from __future__ import annotations

import pytest

from autolabel.cli.reference import commands_page, pages, pipeline_page, rows_page
from tests.conftest import REPO


@pytest.mark.parametrize("path", pages())
def test_a_generated_page_is_up_to_date(path: str) -> None:
    text = (REPO / path).read_text("utf-8")
    assert text == pages()[path](), "run: python -m autolabel.cli.reference"


def test_options_are_stated_with_defaults_and_bounds() -> None:
    page = pipeline_page()
    assert "| `box_threshold` | `--box-threshold` | `0.35` | ≥ 0, ≤ 1 | Lowest score" in page
    assert "| `truth` | `--truth` | required |" in page
    assert "`copy`, `hardlink`, `symlink`" in page


def test_every_command_has_its_usage_its_options_and_an_example() -> None:
    page = commands_page()
    assert "```text\nautolabel detect SOURCE_OR_WS... [OPTIONS]\n```" in page
    assert "## autolabel models pull\n" in page
    assert "| `--box-threshold NUMBER` | Lowest score of a box" in page
    assert page.count("Example: `autolabel ") >= 12


def test_nested_columns_are_named_with_their_types() -> None:
    page = rows_page()
    assert "| `image_id` | `string` |" in page
    assert "| `objects.xyxy` | " in page
