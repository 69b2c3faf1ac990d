"""Labels that are unfinished or stale are not used unsaid, and finished ones do not vanish."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autolabel.config import EngineConfig, ExportConfig, FilterConfig
from autolabel.datasets import export
from autolabel.errors import AutolabelError
from autolabel.stages import refine as refining
from autolabel.stages.filter import filter_labels
from autolabel.stages.history import ontology_of
from autolabel.stages.labels import chosen_labels
from autolabel.store import Workspace
from tests.conftest import SAMPLE, Finished, Run, make_photos
from tests.crash import content

PHOTOS, SHARDS = 10, 5


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, random_detector: Path
) -> tuple[Path, Callable[..., Finished]]:
    """A workspace with detect/ and filter/ complete."""
    folder = tmp_path_factory.mktemp("labelled")
    make_photos(folder / "photos", PHOTOS)
    return folder, lambda run: _chain(run, folder, random_detector)


def _chain(run: Run, folder: Path, detector: Path) -> None:
    ws = folder / "ws"
    ok(run("ingest", folder / "photos", "-w", ws, "--shard-size", 2))
    ok(run("detect", ws, "--model", detector, "--prompt", "cat", "--box-threshold", 0.1))
    ok(run("filter", ws, "--min-side", 1))


def ok(done: Finished) -> Finished:
    assert done.status == 0, done.err
    return done


@pytest.fixture
def ws(made: tuple[Path, Callable[..., None]], tmp_path: Path, run: Run) -> Path:
    folder, chain = made
    if not (folder / "ws").exists():
        chain(run)
    return Path(shutil.copytree(folder / "ws", tmp_path / "ws"))


def refused(done: Finished, *words: str) -> str:
    """The command failed, and said so with these words; the command that its hint names."""
    assert done.status == 1, done.err
    assert "Traceback" not in done.err
    error, hint = done.err.strip().splitlines()[-2:]
    for word in words:
        assert word in error + hint, done.err
    return hint


def hinted(hint: str) -> list[list[str]]:
    """The commands of a hint, as words without `autolabel`."""
    text = hint.split("run ", 1)[1].split("; or", 1)[0]
    return [shlex.split(one)[1:] for one in text.split(" && ")]


def snapshot(ws: Path) -> dict[Path, bytes]:
    """Every file but the lock, whose holder is another process each time."""
    return {p: p.read_bytes() for p in ws.rglob("*") if p.is_file() and ".lock" not in p.name}


def stop_after(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Ctrl-C in `refine` once so many images have their masks."""
    left = [images]
    masks_of = refining.masks_of

    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return masks_of(*arguments)

    monkeypatch.setattr(refining, "masks_of", counted)


def interrupted_refine(run: Run, ws: Path, segmenter: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5)
        done = run("refine", ws, "--model", segmenter, "--batch-size", 1)
    assert done.status == 130
    assert 0 < len(Workspace(ws).require("refine").shards()) < SHARDS


def test_a_refine_that_fails_at_once_leaves_everything_as_it_was(run: Run, ws: Path) -> None:
    before = snapshot(ws)
    assert run("refine", ws, "--model", SAMPLE / "models/detector").status == 1
    assert snapshot(ws) == before
    ok(run("filter", ws, "--min-side", 10, "--overwrite"))  # of detect, as before
    assert Workspace(ws).require("filter").manifest.source["layer"] == "detect"  # type: ignore[index]


def test_an_interrupted_refine_is_no_source_until_it_is_finished(
    run: Run, ws: Path, random_segmenter: Path
) -> None:
    interrupted_refine(run, ws, random_segmenter)
    finished = content(ws, "filter")
    hint = refused(
        run("filter", ws, "--min-side", 10, "--overwrite"),
        "refine/ is unfinished: ", f"of {SHARDS} shards", "--from detect",
    )  # fmt: skip
    refused(run("filter", ws, "--dry-run"), "refine/ is unfinished")
    assert content(ws, "filter") == finished
    assert run("export", ws, "--format", "coco", "--out", ws / "o").status == 0
    refused(run("export", ws, "--from", "refine", "--out", ws / "o"), "refine/ is unfinished")
    (command,) = hinted(hint)
    assert command[:2] == ["refine", str(ws)]
    ok(run(*command))
    assert Workspace(ws).state("refine").complete
    ok(run("filter", ws, "--min-side", 10, "--overwrite"))
    assert Workspace(ws).require("filter").manifest.source["layer"] == "refine"  # type: ignore[index]


def test_an_overwrite_that_is_stopped_leaves_the_old_layer_whatever_follows(
    run: Run, ws: Path, random_segmenter: Path
) -> None:
    ok(run("refine", ws, "--model", random_segmenter))
    old = content(ws, "refine")
    again = ["refine", ws, "--model", random_segmenter, "--no-multimask", "--overwrite"]
    for images in (3, 2):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, images)
            assert run(*again, "--batch-size", 1).status == 130
        assert content(ws, "refine") == old
        ok(run("export", ws, "--from", "refine", "--out", ws / "o"))
        assert run("refine", ws, "--model", "no-such-model", "--overwrite").status == 1
        assert content(ws, "refine") == old
        ok(run("refine", ws, "--model", random_segmenter))
        assert content(ws, "refine") == old
    ok(run(*again))
    assert content(ws, "refine") != old
    assert Workspace(ws).state("refine").complete


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("command", ["export", "report", "train", "evaluate"])
def test_labels_of_an_older_prompt_are_stale(
    run: Run, ws: Path, random_detector: Path, command: str, allow: bool
) -> None:
    detect = ["detect", ws, "--model", random_detector, "--box-threshold", 0.1]
    ok(run(*detect, "--prompt", "feline=cat", "--overwrite"))
    truth = ws / "truth.json"
    photo = {"id": 1, "file_name": "0000.png", "width": 64, "height": 48}
    labels = {"images": [photo], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    truth.write_text(json.dumps(labels), "utf-8")
    more = {"export": ["--out", ws / "o"], "evaluate": ["--truth", truth]}
    words = [command, ws, *more.get(command, [])]
    if not allow:
        hint = refused(run(*words), "filter/ is stale")
        assert hinted(hint) == [["filter", str(ws), "--min-side", "1.0"]]
        ok(run(*hinted(hint)[0]))
        if command in ("export", "report"):
            ok(run(*words))
    elif command in ("export", "report"):
        done = ok(run(*words, "--allow-unfinished", "--json"))
        assert (done.json()["stale_images"], done.json()["left_out_images"]) == (PHOTOS, 0)
        assert f"the labels of {PHOTOS} are stale" in done.err


def test_images_that_were_added_since_are_counted(run: Run, ws: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "more", 13)
    root = Workspace(ws).source_root
    for name in ("0010.png", "0011.png", "0012.png"):
        shutil.copy(tmp_path / "more" / name, root / name)
    try:
        ok(run("ingest", root, "-w", ws, "--shard-size", 2))
        words = ["export", ws, "--out", tmp_path / "o", "--json"]
        hint = refused(run(*words), f"filter/ is unfinished: {SHARDS} of {SHARDS + 2} shards")
        assert [command[0] for command in hinted(hint)] == ["detect", "filter"]
        done = ok(run(*words, "--allow-unfinished"))
        assert (done.json()["left_out_images"], done.json()["images"]) == (3, PHOTOS)
        for command in hinted(hint):
            ok(run(*command))
        assert ok(run(*words)).json()["left_out_images"] == 0
    finally:
        for name in ("0010.png", "0011.png", "0012.png"):
            (root / name).unlink(missing_ok=True)


def test_nothing_to_do_never_replaces_labels(ws: Path) -> None:
    home = Workspace(ws)
    manifest = home.require("filter").manifest
    with pytest.raises(AutolabelError, match="nothing to make filter/ of"):
        home.plan_update("filter", manifest, {}, overwrite=True)


def test_an_export_beside_a_writer_holds_the_labels_that_it_began_with(
    ws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = Workspace(ws), tmp_path / "out"
    old = home.require("filter").counts().kept
    config = ExportConfig(format="coco", out=str(out))
    layer = chosen_labels(home, None).layer
    place, placed = export.place_image, [0]

    def placing(*arguments: Any, **options: Any) -> Any:
        placed[0] += 1
        if placed[0] == 2:
            rules = FilterConfig(min_side=40)
            filter_labels(Workspace(ws), rules, EngineConfig(), overwrite=True)
        return place(*arguments, **options)

    monkeypatch.setattr(export, "place_image", placing)
    done = export.export(home, layer, ontology_of(layer), config)
    new = home.require("filter")
    assert (done.objects, done.images) == (old, PHOTOS)
    assert new.counts().kept != old
    assert not export.is_current(home, new, ontology_of(new), config)
    assert export.is_current(home, layer, ontology_of(layer), config)


def test_a_stopped_ingest_is_named_with_what_finishes_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_detector: Path
) -> None:
    make_photos(tmp_path / "photos", 6)
    ws = tmp_path / "ws"
    with monkeypatch.context() as patch:
        patch.setattr("autolabel.stages.ingest.find_repeats", _stopped)
        assert run("ingest", tmp_path / "photos", "-w", ws, "--shard-size", 2).status == 130
    hint = refused(run("detect", ws, "--prompt", "cat"), "is unfinished: ingest was stopped")
    assert hinted(hint) == [["ingest", str(tmp_path / "photos"), "--workspace", str(ws)]]
    ok(run(*hinted(hint)[0]))
    ok(run("detect", ws, "--prompt", "cat", "--model", random_detector))


def _stopped(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt
