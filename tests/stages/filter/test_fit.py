"""What is embedded and learned once, and what is done again."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.config import FilterConfig, IngestConfig
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.stages import filter as filtering
from autolabel.stages.ingest import ingest
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects
from tests.conftest import Run, make_photos
from tests.layers import begin, finish
from tests.stages.filter.conftest import ENGINE, both, files, label, no_models, sorted_crops


def test_another_threshold_runs_no_model(
    workspace: Workspace, clip: str, dinov2: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = both(clip, dinov2, clip_score=0.2, dinov2_distance=2.0, min_side=5)
    done = filtering.filter_labels(workspace, first, ENGINE)
    assert done.images == 6
    embed = files(workspace.path / "embed")
    no_models(monkeypatch)
    assert filtering.filter_labels(workspace, first, ENGINE).images == 0
    other = both(clip, dinov2, clip_score=0.4, clip_margin=0.1, dinov2_distance=1.2, border=2)
    with pytest.raises(AutolabelError, match=r"min_side 5\.0, not 0\.0.*clip_score 0\.2, not 0\.4"):
        filtering.filter_labels(workspace, other, ENGINE)
    changed = filtering.filter_labels(workspace, other, ENGINE, overwrite=True)
    assert changed.images == 6
    now = files(workspace.path / "embed")
    assert {k: v for k, v in now.items() if k in embed} == embed
    assert all("crowds-" in name for name in set(now) - set(embed))
    for name in ("clip", "dinov2"):
        manifest = workspace.require(f"embed/{name}").manifest
        assert manifest.settings == {"context": 0.15}
        assert manifest.source is not None
        assert manifest.source["layer"] == "detect"
    kept = {r.image_id: r.objects for r in changed.layer.records()}
    for record in workspace.require("detect").records():
        mine = kept[record.image_id]
        np.testing.assert_array_equal(mine.xyxy, record.objects.xyxy)
        assert set(mine.scores[0]) == {"clip", "clip_margin", "dinov2", "dinov2_ratio"}


def test_another_context_or_prompt_does(workspace: Workspace, clip: str) -> None:
    config = FilterConfig(clip=clip, clip_score=0.2)
    filtering.filter_labels(workspace, config, ENGINE)
    folder = workspace.path / "embed/clip"
    before = files(folder)
    again = config.model_copy(update={"templates": ("{}",)})
    filtering.filter_labels(workspace, again, ENGINE, overwrite=True)
    assert len(list(folder.glob("texts-*.json"))) == 2
    assert files(folder)["part-00000.parquet"] == before["part-00000.parquet"]
    wider = config.model_copy(update={"context": 0.5})
    filtering.filter_labels(workspace, wider, ENGINE, overwrite=True)
    assert files(folder)["part-00000.parquet"] != before["part-00000.parquet"]


def test_a_file_beside_the_vectors_that_is_damaged_or_huge_is_made_anew(
    workspace: Workspace, clip: str, dinov2: str, tmp_path: Path
) -> None:
    examples = sorted_crops(tmp_path / "examples")
    config = both(clip, dinov2, clip_score=0.2, dinov2_distance=2.0, examples=str(examples))
    filtering.filter_labels(workspace, config, ENGINE)
    embed = workspace.path / "embed"
    kept = [path for name in ("texts-*", "crowds-*", "examples-*") for path in embed.rglob(name)]
    assert len(kept) == 3
    for path in kept:
        good = path.read_bytes()
        for bad in (good[:40], b"", b"{}"):
            path.write_bytes(bad)
            filtering.filter_labels(workspace, config, ENGINE)
            assert path.read_bytes() == good
        os.truncate(path, 2**40)  # a terabyte that takes no space
        filtering.filter_labels(workspace, config, ENGINE)
        assert path.read_bytes() == good


def test_truth_is_judged_by_what_the_pool_taught(
    run: Run, tmp_path: Path, random_detector: Path, dinov2: str, clip: str
) -> None:
    make_photos(tmp_path / "photos", 8)
    held = tmp_path / "held"
    held.mkdir()
    for path in sorted((tmp_path / "photos").iterdir())[6:]:
        shutil.move(path, held)
    home = tmp_path / "ws"
    ingest = run("ingest", tmp_path / "photos", "-w", home, "--holdout", held, "--near-bits", -1)
    assert ingest.status == 0, ingest.err
    detect = run(
        "detect", home, "--model", random_detector, "--prompt", "cat", "--box-threshold", "0.1",
    )  # fmt: skip
    assert detect.status == 0, detect.err
    done = run(
        "filter", home, "--dinov2", dinov2, "--dinov2-distance", "1.2", "--clip", clip,
        "--max-per-group", "1", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    layers = done.json()
    assert 0 < layers["filter"]["kept"] < layers["filter"]["objects"]
    images = [
        {"id": i, "file_name": p.name, "width": 96, "height": 64}
        for i, p in enumerate(sorted(held.iterdir()))
    ]
    box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    truth = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
    (held / "annotations.json").write_text(json.dumps(truth))
    measured = run("evaluate", home, "--truth", held, "--json", "--bootstrap", 0)
    assert measured.status == 0, measured.err
    assert [row["layer"] for row in measured.json()["rows"]] == ["detect", "filter"]
    beside = home / measured.json()["workspace"]
    assert [p for p in (home / "evaluate").iterdir() if p.is_dir()] == [beside]
    assert not list((beside / "embed/dinov2").glob("crowds-*"))
    pool, truth_ = Workspace(home).require("filter"), Workspace(beside).require("filter")
    assert truth_.manifest.origin["crowds"] == pool.manifest.origin["crowds"]
    assert truth_.counts().objects > 0
    # a model that changed since is refused
    config = json.loads((Path(dinov2) / "config.json").read_text())
    moved = shutil.copytree(dinov2, tmp_path / "moved")
    (moved / "config.json").write_text(json.dumps({**config, "new": 1}))
    manifest = replace(pool.manifest, origin={**pool.manifest.origin, "dinov2": str(moved)})
    pool.write_manifest(manifest)
    assert "is not the one that made filter/" in run("evaluate", home, "--truth", held).err


def test_examples_veto(workspace: Workspace, tmp_path: Path, dinov2: str) -> None:
    folder = sorted_crops(tmp_path / "examples")
    config = FilterConfig(dinov2=dinov2, examples=str(folder), probe_sure=0.5)
    layer = filtering.filter_labels(workspace, config, ENGINE).layer
    reasons = [r for one in layer.records() for r in one.objects.reason if r]
    assert all(r.startswith("examples: ") for r in reasons)
    assert reasons
    shutil.copy(tmp_path / "photos/0000.png", folder / "cat")
    ingest(
        workspace,
        IngestConfig(source=(str(tmp_path / "photos"),), holdout=(str(tmp_path / "photos"),)),
        ENGINE,
        overwrite=True,
    )
    label(workspace, seed=0)
    with pytest.raises(AutolabelError, match="is a held-out photo"):
        filtering.filter_labels(workspace, config, ENGINE, overwrite=True)


def reds_among_specks(folder: Path) -> Workspace:
    """Six photos, in each a red cell, and six blue specks that are labelled so too by mistake."""
    rng = np.random.default_rng(0)
    big, specks = [8, 8, 40, 40], [[60, 8 * i, 64, 8 * i + 4] for i in range(6)]
    (folder / "photos").mkdir()
    for i in range(6):
        pixels = rng.integers(0, 40, (64, 96, 3), dtype=np.uint8)
        pixels[8:40, 8:40, 0] += 200
        pixels[:, 56:70, 2] += 200
        Image.fromarray(pixels).save(folder / f"photos/{i}.png")
    home = Workspace(folder / "ws")
    images = ingest(home, IngestConfig(source=(str(folder / "photos"),), near_bits=-1), ENGINE)
    manifest = Manifest("detect", {"ontology": Ontology.from_prompts(["cell"]).to_mapping()})
    layer = begin(home, "detect", bound_to(manifest, images.layer))
    objects = Objects.create(["cell"] * 7, [0.5] * 7, [big, *specks])
    records = [replace(record, objects=objects) for record in images.layer.read(0)]
    layer.write(0, records, images.layer.digest(0))
    finish(home, layer)
    return home


def test_prototypes_ignore_what_earlier_rules_rejected(tmp_path: Path, dinov2: str) -> None:
    """Six of seven labels are wrong, alike, and rejected first: the rest is what the class is."""
    home = reds_among_specks(tmp_path)
    config = FilterConfig(dinov2=dinov2, min_side=6, dinov2_distance=50.0)
    layer = filtering.filter_labels(home, config, ENGINE).layer
    for record in layer.records():
        assert record.objects.keep.tolist() == [True] + [False] * 6
        assert record.objects.scores[0]["dinov2"] < 50
        assert record.objects.scores[1]["dinov2"] > 50
    later = config.model_copy(update={"rules": ("dinov2_distance", "min_side")})
    layer = filtering.filter_labels(home, later, ENGINE, overwrite=True).layer
    for record in layer.records():  # the specks are what the class is
        assert not record.objects.keep.any()
        assert record.objects.reason[0].startswith("dinov2_distance: ")
