from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from autolabel.datasets.xml import LARGEST_XML, beginning, children
from autolabel.errors import AutolabelError


def test_children_come_whole_and_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text("<r><a x='1'><b>2</b></a> <!-- no --><c/></r>", "utf-8")
    assert beginning(file) == ["r", "a"]
    assert [(c.tag, c.get("x"), c.findtext("b")) for c in children(file)] == [
        ("a", "1", "2"), ("c", None, None),
    ]  # fmt: skip


def test_what_was_seen_is_forgotten(tmp_path: Path) -> None:
    """Of many megabytes of XML only a child's worth is held."""
    file = tmp_path / "a.xml"
    child = f"<a>{'<b/>' * 1000}</a>\n"
    with file.open("w") as stream:
        stream.write("<r>")
        stream.writelines(child for _ in range(100))
        stream.write("</r>")
    tracemalloc.start()
    count = sum(len(one) for one in children(file))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100_000
    assert most < 2.5e6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE r [<!ENTITY x "ha">]><r>&x;</r>', "declares XML entities"),
        ('<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r>&x;</r>', "declares XML ent"),
        ("<r><a></r>", "not valid XML"),
        ("<r><a/>", "not valid XML"),
        ("", "not valid XML"),
        ('<?xml version="1.0" encoding="nonsense"?><r/>', "not valid XML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.xml"
    file.write_text(text, "utf-8")
    with pytest.raises(AutolabelError, match=message):
        list(children(file))


def test_a_file_too_large_or_none_at_all_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    with file.open("wb") as stream:
        stream.truncate(LARGEST_XML + 1)
    with pytest.raises(AutolabelError, match="larger than 1024 MiB"):
        list(children(file))
    for other in (tmp_path, tmp_path / "nothing.xml"):
        with pytest.raises(AutolabelError, match="cannot be read"):
            list(children(other))
        assert beginning(other) == []
