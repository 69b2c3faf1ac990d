"""Files among those of others are all the old ones or all the new ones, whatever stops it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from autolabel.errors import AutolabelError
from autolabel.sources.marks import EXPORT, noted_in
from autolabel.store import FileSet, is_current
from tests.store.kills import killed_at

OLD = {"data.yaml": "old", "images/a.png": "old", "images/b.png": "old", "labels/b.txt": "old"}
NEW = {"data.yaml": "new", "images/b.png": "new", "images/sub/c.png": "new"}
THEIRS = {"images/mine.png": "mine", "notes.md": "mine"}


def files_in(folder: Path) -> FileSet:
    def is_ours(file: Any) -> bool:
        return isinstance(file, str) and file.startswith(("data.yaml", "images/", "labels/"))

    return FileSet(
        folder, EXPORT, ".lock", "export", is_ours, ("data.yaml",), ("labels/train.cache",)
    )


def nothing() -> None:
    pass


def publish(folder: Path, wanted: dict[str, str]) -> None:
    files = files_in(folder)
    with files.staged(nothing) as staging:
        for name, text in wanted.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text(text, "utf-8")
        files.publish({"binding": wanted, "files": list(wanted)})


def content(folder: Path) -> dict[str, str]:
    """The visible files."""
    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        name: path.read_text("utf-8") for name, path in paths.items() if not name.startswith(".")
    }


def is_whole(folder: Path, binding: dict[str, str]) -> bool:
    return is_current(folder, {"binding": binding}, lambda out: files_in(out).whole_note())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    publish(folder, OLD)
    for name, text in THEIRS.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "labels/train.cache").write_text("of the old labels", "utf-8")
    return folder


def test_new_files_take_the_place_of_old_ones_and_others_stay(folder: Path) -> None:
    publish(folder, NEW)
    assert content(folder) == NEW | THEIRS
    assert not (folder / "labels").exists()
    assert {p.name for p in folder.iterdir() if p.name[0] == "."} == {EXPORT, ".lock"}


def test_a_kill_at_any_change_leaves_one_or_the_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a kill is no power cut
    step, died = 0, True
    outcomes = []
    while died:
        trial = Path(shutil.copytree(folder, tmp_path / f"trial{step}"))
        died = killed_at(step, lambda trial=trial: publish(trial, NEW))  # type: ignore[misc]
        found = content(trial)
        ours = {name: text for name, text in found.items() if name not in THEIRS}
        ours.pop("labels/train.cache", None)
        assert {name: found[name] for name in THEIRS} == THEIRS
        assert "data.yaml" not in ours or ours in (OLD, NEW), "a mixture can be opened"
        noted = noted_in(trial, [path.name for path in trial.iterdir()])
        assert {trial / name for name in ours} <= noted, "our own files look like new photos"
        files = files_in(trial)
        assert is_whole(trial, OLD) == (ours == OLD and not files.journal.exists())
        assert is_whole(trial, NEW) == (ours == NEW and not files.journal.exists())
        killed_at(step % 7, files.recover)
        files.recover()
        outcomes.append({n: t for n, t in content(trial).items() if n not in THEIRS})
        publish(trial, NEW)
        assert content(trial) == NEW | THEIRS
        assert not files.staging.exists()
        shutil.rmtree(trial)
        step += 1
    assert step > 15
    caches = {"labels/train.cache": "of the old labels"}
    turn = outcomes.index(NEW)
    assert all(found == OLD | caches for found in outcomes[:turn])
    assert all(found == NEW for found in outcomes[turn:])


def test_a_set_is_current_while_all_of_it_is_there(folder: Path) -> None:
    assert is_whole(folder, OLD)
    assert not is_whole(folder, NEW)
    assert not is_current(folder, {"to_retry": None}, lambda out: files_in(out).whole_note())
    (folder / "images/a.png").unlink()
    assert not is_whole(folder, OLD)


def test_a_file_of_others_in_the_way_is_refused_and_nothing_changes(folder: Path) -> None:
    before = content(folder)
    with pytest.raises(AutolabelError, match=r"mine\.png is there already, and no export wrote"):
        publish(folder, NEW | {"images/mine.png": "new"})
    with pytest.raises(AutolabelError, match=r"mine\.png is there already, and no export wrote"):
        publish(folder, NEW | {"images/mine.png/x.png": "new"})
    assert content(folder) == before


def test_nothing_is_written_or_deleted_by_way_of_a_link(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "images", tmp_path / "away")
    (folder / "images").symlink_to(tmp_path / "away")
    before = content(tmp_path / "away")
    with pytest.raises(AutolabelError, match="images is a link"):
        publish(folder, NEW)
    with pytest.raises(AutolabelError, match="images is a link"):
        publish(folder, {"data.yaml": "new"})
    assert content(tmp_path / "away") == before


def test_one_process_at_a_time(folder: Path) -> None:
    with (
        files_in(folder).staged(nothing),
        pytest.raises(AutolabelError, match="another export is writing"),
    ):
        publish(folder, NEW)


def test_a_refusal_comes_before_anything_is_written(tmp_path: Path) -> None:
    def refuse() -> None:
        raise AutolabelError("not here", hint="elsewhere")

    with pytest.raises(AutolabelError, match="not here"), files_in(tmp_path / "a").staged(refuse):
        pass
    assert not (tmp_path / "a").exists()


def test_what_is_published_is_on_disk_before_anything_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut loses what was not synced: no file may be empty once it is noted."""
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    publish(tmp_path, OLD)
    synced.clear()
    publish(tmp_path, NEW)
    note = synced.index((tmp_path / EXPORT).stat().st_ino)
    for name in NEW:
        assert (tmp_path / name).stat().st_ino in synced[:note]
        assert (tmp_path / name).parent.stat().st_ino in synced[:note]
