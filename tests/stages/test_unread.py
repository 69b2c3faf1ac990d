"""Photos that were away for a moment are looked at again; photos that are away as a whole stop."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from autolabel.config import DetectConfig, EngineConfig, IngestConfig, RefineConfig
from autolabel.engine.pixels import PixelReader
from autolabel.errors import AutolabelError
from autolabel.ops import images as image_files
from autolabel.ops.images import ImageError, decode, read_bytes
from autolabel.stages.detect import detect
from autolabel.stages.ingest import ingest
from autolabel.stages.running import StageResult
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Workspace
from autolabel.types import Record, is_unread
from tests.conftest import Run, make_photos

ENGINE = EngineConfig(batch_size=1)
PHOTOS = 20


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "source/photos", PHOTOS)
    return tmp_path / "source/photos"


@pytest.fixture
def home(tmp_path: Path, photos: Path) -> Workspace:
    """Photos below a source root that stays when they go."""
    home = Workspace(tmp_path / "ws")
    ingest(home, IngestConfig(source=(str(photos),), shard_size=8), ENGINE)
    with home.lock():
        home.set_source_root(photos.parent)
    scanned = home.require("images")
    for index in scanned.shards():
        records = [_moved(record) for record in scanned.read(index)]
        scanned.write(index, records, scanned.source_digest(index))
    return home


def _moved(record: Record) -> Record:
    return replace(record, uri=f"photos/{record.uri}")


def detected(home: Workspace, model: Path) -> StageResult:
    config = DetectConfig(model=str(model), prompt=("cat",), box_threshold=0.1)
    return detect(home, config, ENGINE)


def errors(layer: Layer) -> dict[str, str]:
    return {Path(r.uri).name: r.error for r in layer.records() if r.error}


@pytest.mark.parametrize("gone", [1, 3])
def test_photos_that_are_back_are_done_again_and_no_others(
    home: Workspace,
    photos: Path,
    tmp_path: Path,
    random_detector: Path,
    random_segmenter: Path,
    monkeypatch: pytest.MonkeyPatch,
    gone: int,
) -> None:
    config = RefineConfig(model=str(random_segmenter))
    whole = Workspace(Path(shutil.copytree(home.path, tmp_path / "whole")))
    expected = detected(whole, random_detector).layer
    names = [f"{i * 9:04d}.png" for i in range(gone)]
    for name in names:
        (photos / name).rename(tmp_path / name)
    done = detected(home, random_detector)
    assert errors(done.layer) == dict.fromkeys(names, "missing")
    assert (done.images, done.unread) == (PHOTOS, gone)
    again = detected(home, random_detector)
    assert (again.images, again.unread) == (0, gone)  # nothing is loaded for what is still away

    for name in names:
        (tmp_path / name).rename(photos / name)
    looked: Counter[str] = Counter()
    read = PixelReader.read
    monkeypatch.setattr(
        PixelReader, "read", lambda self, r: looked.update([Path(r.uri).name]) or read(self, r)
    )
    back = detected(home, random_detector)
    assert (back.images, back.unread) == (gone, 0)
    assert sorted(looked) == names
    assert list(back.layer.records()) == list(expected.records())
    assert detected(home, random_detector).images == 0
    assert STAGES["refine"].run(home, config, ENGINE).unread == 0


@pytest.mark.parametrize("when", ["before", "during"])
def test_photos_that_are_all_away_stop_the_stage(
    home: Workspace,
    photos: Path,
    tmp_path: Path,
    random_detector: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    if when == "before":
        photos.rename(tmp_path / "away")
    else:
        seen = [0]
        read = image_files.read_bytes

        def reading(path: Path) -> bytes:
            seen[0] += 1
            if seen[0] > 3:
                raise ImageError("cannot be read: Transport endpoint is not connected")
            return read(path)

        monkeypatch.setattr(image_files, "read_bytes", reading)
    with pytest.raises(AutolabelError, match=r"the photos in .* cannot be read") as e:
        detected(home, random_detector)
    assert "--source-root" in e.value.hint
    layer = home.layer("detect")
    assert layer.exists == (when == "during")
    assert len(errors(layer)) < 16
    monkeypatch.undo()
    if when == "before":
        (tmp_path / "away").rename(photos)
    assert errors(detected(home, random_detector).layer) == {}


def test_a_source_root_that_goes_meanwhile_is_named_at_once(
    home: Workspace, photos: Path, tmp_path: Path, random_detector: Path
) -> None:
    away = tmp_path / "gone"
    root = home.source_root
    read = PixelReader.read

    def going(self: PixelReader, record: Record) -> Record:
        if root.exists():
            root.rename(away)
        return read(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PixelReader, "read", going)
        with pytest.raises(AutolabelError, match="the folder is not there any more"):
            detected(home, random_detector)
    assert not home.layer("detect").shards()
    away.rename(root)
    assert detected(home, random_detector).images == PHOTOS


def test_the_command_says_how_many_are_still_away(
    run: Run, home: Workspace, photos: Path, random_detector: Path
) -> None:
    (photos / "0004.png").unlink()
    words = ["detect", home.path, "--model", random_detector, "--prompt", "cat"]
    assert "1 could not be read" in run(*words).err
    done = run(*words)
    assert (done.status, "nothing to do; 1 images still cannot be read" in done.err) == (0, True)


def test_only_errors_of_reading_are_tried_again(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "text").write_bytes(b"no image")
    for name in ("none", "loop", ".", "none/below", "a\0b"):
        with pytest.raises(ImageError) as e:
            read_bytes(tmp_path / name)
        assert is_unread(str(e.value)), str(e.value)
    for data in (b"", b"no image", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(ImageError) as e:
            decode(data)
        assert not is_unread(str(e.value)), str(e.value)


def test_an_error_of_the_disk_is_one_of_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x")

    def broken(*args: object, **kwargs: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.open", broken)
    monkeypatch.setattr("io.open", broken)
    with pytest.raises(ImageError) as e:
        read_bytes(tmp_path / "a")
    assert is_unread(str(e.value))
