"""A file is as before or complete, also after a power cut; no link is ever written through."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from autolabel.store.files import share, write_atomic
from tests.store.kills import killed_at


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was brought to the disk and what was renamed, in order."""
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def syncing(file: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        fsync(file)

    def renaming(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", renaming)
    return calls


def test_bytes_are_on_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, done: list[str]
) -> None:
    write_atomic(tmp_path / "a", b"new")
    assert done == ["file", "rename", "folder"]


def test_a_kill_at_any_change_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path, step, died = tmp_path / "a", 0, True
    found = []
    while died:
        path.write_bytes(b"old")
        died = killed_at(step, lambda: write_atomic(path, b"new"))
        found.append(path.read_bytes())
        write_atomic(path, b"again")
        assert [p.name for p in tmp_path.iterdir()] == ["a"]
        step += 1
    assert set(found) == {b"old", b"new"}
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("name", ["a", ".a.tmp"])
def test_a_link_under_the_name_is_replaced(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    (tmp_path / name).symlink_to(theirs)
    write_atomic(tmp_path / "a", b"new")
    assert theirs.read_bytes() == b"theirs"
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_link_that_is_planted_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # it is back as soon as it is gone
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"


@pytest.mark.parametrize("links", [True, False])
def test_a_shared_file_keeps_its_bytes_and_its_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "b").write_bytes(b"in the way")
    if not links:

        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    share(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"bytes"
    assert (tmp_path / "b").stat().st_mtime == 1
    assert (tmp_path / "a").samefile(tmp_path / "b") == links
