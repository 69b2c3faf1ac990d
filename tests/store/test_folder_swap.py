"""A folder is the old one or the new one, whatever stops the swap, and nothing is left beside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from autolabel.errors import AutolabelError
from autolabel.store.files import hold_folder
from autolabel.store.folder_swap import FolderSwap, unsettled_in
from tests.store.kills import killed_at

FILES = ("note.json", "a.bin", "sub/b.bin")


def fill(folder: Path, text: str) -> None:
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def content(folder: Path) -> list[str]:
    """What the files of a whole folder hold."""
    return [(folder / name).read_text("utf-8") for name in FILES]


def is_whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def swap_in(home: Path) -> FolderSwap:
    return FolderSwap(home / "it", "note.json", is_whole)


@pytest.fixture
def swap(tmp_path: Path) -> FolderSwap:
    swap = swap_in(tmp_path / "home")
    fill(swap.final, "old")
    fill(swap.next, "new")
    return swap


def names(home: Path) -> set[str]:
    return {path.name for path in home.iterdir()}


def test_the_successor_takes_the_place_and_nothing_is_left(swap: FolderSwap) -> None:
    swap.publish()
    assert content(swap.final) == ["new"] * 3
    assert names(swap.final.parent) == {"it"}
    assert not swap.has_left_something


def test_a_first_folder_needs_no_predecessor(swap: FolderSwap) -> None:
    shutil.rmtree(swap.final)
    swap.publish()
    assert content(swap.final) == ["new"] * 3


@pytest.mark.parametrize("first", [True, False])
def test_a_kill_at_any_change_leaves_the_old_or_the_new_one(
    swap: FolderSwap, tmp_path: Path, first: bool
) -> None:
    """Also where what finishes it is killed, at any of its own changes."""
    if first:
        shutil.rmtree(swap.final)
    before = None if first else ["old"] * 3

    def there(trial: FolderSwap) -> list[str] | None:
        return content(trial.final) if trial.final.exists() else None

    step, died = 0, True
    while died:
        again, died_again = 0, True
        while died_again:
            trial = swap_in(Path(shutil.copytree(swap.final.parent, tmp_path / "trial")))
            died = killed_at(step, trial.publish)
            assert trial.is_half_done or there(trial) in (before, ["new"] * 3)
            died_again = killed_at(again, trial.recover)
            trial.recover()
            assert there(trial) in ([before] if died else []) + [["new"] * 3]
            if there(trial) == before:
                assert content(trial.next) == ["new"] * 3
            assert names(trial.final.parent) <= {"it", ".it.next"}
            shutil.rmtree(tmp_path / "trial")
            again += 1
        step += 1
    assert step > (2 if first else 8)


@pytest.mark.parametrize("whole", [True, False])
def test_between_the_renames_only_a_whole_successor_comes_in(swap: FolderSwap, whole: bool) -> None:
    if not whole:
        (swap.next / "a.bin").unlink()
    swap.final.rename(swap.old)
    assert swap.is_half_done
    assert unsettled_in(swap.final.parent) == [swap.final]
    swap.recover()
    assert content(swap.final) == ["new" if whole else "old"] * 3
    assert not swap.has_left_something


def test_an_empty_folder_under_the_name_is_no_hindrance(swap: FolderSwap) -> None:
    swap.final.rename(swap.old)
    swap.final.mkdir()
    swap.recover()
    assert content(swap.final) == ["new"] * 3


def test_files_of_others_under_the_name_stay_and_so_does_the_old_folder(swap: FolderSwap) -> None:
    swap.final.rename(swap.old)
    swap.final.mkdir()
    (swap.final / "mine.txt").write_text("mine", "utf-8")
    with pytest.raises(AutolabelError, match=r"holds files, but no note\.json"):
        swap.recover()
    assert (swap.final / "mine.txt").read_text("utf-8") == "mine"
    assert content(swap.old) == ["old"] * 3


@pytest.mark.parametrize("name", [".it.gone", ".it.gone-0", ".it.gone-7", ".it.old"])
def test_what_was_thrown_away_is_cleared(swap: FolderSwap, name: str) -> None:
    fill(swap.final.parent / name, "older")
    fill(swap.final.parent / ".other.gone", "not of this folder")
    assert swap.has_left_something
    swap.recover()
    assert names(swap.final.parent) == {"it", ".it.next", ".other.gone"}
    assert content(swap.final) == ["old"] * 3


def test_what_is_read_stays_until_it_is_closed(swap: FolderSwap) -> None:
    fill(swap.final.parent / ".it.gone-0", "older")
    held = [hold_folder(swap.final.parent / ".it.gone-0"), hold_folder(swap.final)]
    swap.publish()
    assert names(swap.final.parent) == {"it", ".it.gone-0", ".it.gone-1"}
    assert content(swap.final.parent / ".it.gone-1") == ["old"] * 3
    for folder in held:
        assert folder is not None
        os.close(folder)
    swap.recover()
    assert names(swap.final.parent) == {"it"}


def test_the_successor_is_on_disk_before_it_takes_the_place(
    swap: FolderSwap, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda a, b: (done.append(b.name), rename(a, b))[1])
    swap.publish()
    assert done == ["sync", ".it.old", "it", "sync", ".it.gone-0"]
