"""The filter over whole workspaces: what is run again, what is learned, what is written."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import EngineConfig, FilterConfig, IngestConfig, RefineConfig
from autolabel.errors import AutolabelError, UsageError
from autolabel.ontology import Ontology
from autolabel.ops.boxes import box_areas
from autolabel.ops.masks import areas as mask_areas
from autolabel.stages import filter as filtering
from autolabel.stages.embed import Embed
from autolabel.stages.ingest import ingest
from autolabel.stages.table import STAGES
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import EXCLUDED, Objects
from tests.conftest import Run, make_photos
from tests.embedders import save_random_clip, save_random_dinov2
from tests.layers import begin, finish

ENGINE = EngineConfig(device="cpu", workers=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_random_clip(tmp_path_factory.mktemp("models") / "clip"))


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_random_dinov2(tmp_path_factory.mktemp("models") / "dinov2"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six photos in three shards, four labels each, as `detect` leaves them."""
    make_photos(tmp_path / "photos", 6)
    home = Workspace(tmp_path / "ws")
    config = IngestConfig(source=(str(tmp_path / "photos"),), shard_size=2)
    images = ingest(home, config, ENGINE).layer
    label(home, seed=0)
    assert len(images.shards()) == 3
    return home


def label(home: Workspace, seed: int) -> None:
    images = home.require("images")
    ontology = Ontology.from_prompts(["cat", "dog"], ["smudge"])
    manifest = Manifest("detect", {"ontology": ontology.to_mapping(), "seed": seed})
    layer = begin(home, "detect", bound_to(manifest, images), overwrite=True)
    for index in images.shards():
        rng = np.random.default_rng([seed, index])
        records = []
        for record in images.read(index):
            corner = rng.uniform(0, 40, (4, 2))
            boxes = np.concatenate([corner, corner + rng.uniform(3, 24, (4, 2))], axis=1)
            names = rng.permutation(["cat", "cat", "dog", "dog"]).tolist()
            objects = Objects.create(names, rng.uniform(0.3, 1, 4), boxes)
            records.append(replace(record, objects=objects))
        layer.write(index, records, images.digest(index))
    finish(home, layer)


def both(clip: str, dinov2: str, **options: Any) -> FilterConfig:
    return FilterConfig(clip=clip, dinov2=dinov2, **options)


def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("autolabel.registry.load", never)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.startswith(".lock")
    }


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


def test_new_labels_make_what_follows_stale(workspace: Workspace, clip: str, dinov2: str) -> None:
    config = both(clip, dinov2, dinov2_distance=2.0)
    filtering.filter_labels(workspace, config, ENGINE)
    assert all(state.complete for state in workspace.states())
    label(workspace, seed=1)
    stale = {s.layer.name: s.stale for s in workspace.states()}
    assert stale["filter"] == stale["embed/clip"] == 3
    done = filtering.filter_labels(workspace, config, ENGINE)
    assert done.images == 6
    assert all(state.complete for state in workspace.states())


def test_a_missing_shard_is_all_that_is_made(workspace: Workspace, clip: str) -> None:
    config = FilterConfig(clip=clip, clip_score=0.2)
    layer = filtering.filter_labels(workspace, config, ENGINE).layer
    whole = files(layer.path)
    layer.shard_path(1).unlink()
    assert filtering.filter_labels(workspace, config, ENGINE).images == 2
    assert files(layer.path) == whole


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The uri of each image whose crops a model has seen."""
    seen: list[str] = []
    call = Embed.__call__

    def counted(self: Embed, batch: Any) -> Any:
        seen.extend(record.uri for record in batch)
        return call(self, batch)

    monkeypatch.setattr(Embed, "__call__", counted)
    return seen


def test_a_dry_run_embeds_for_the_run_that_follows(
    workspace: Workspace, clip: str, dinov2: str, embedded: list[str]
) -> None:
    config = both(clip, dinov2, clip_class=True, dinov2_distance=1.5)
    cold = filtering.try_rules(workspace, config, ENGINE)
    assert len(embedded) == 12  # six photos, two models
    assert filtering.try_rules(workspace, config, ENGINE) == cold
    stricter = both(clip, dinov2, clip_class=True, dinov2_distance=1.1)
    filtering.try_rules(workspace, stricter, ENGINE)
    filtering.filter_labels(workspace, config, ENGINE)
    assert len(embedded) == 12


def test_a_dry_run_with_another_model_leaves_what_the_filter_was_made_with(
    workspace: Workspace, clip: str, dinov2: str, embedded: list[str], tmp_path: Path
) -> None:
    config = both(clip, dinov2, clip_class=True, dinov2_distance=1.5)
    filtering.filter_labels(workspace, config, ENGINE)
    before, shown = files(workspace.path), [x.name for x in workspace.layers()]
    embedded.clear()
    other = both(clip, str(save_random_dinov2(tmp_path / "other", seed=1)), clip_class=True,
                 dinov2_distance=1.5)  # fmt: skip
    tried = filtering.try_rules(workspace, other, ENGINE)
    assert len(embedded) == 6
    after = files(workspace.path)
    assert {k: v for k, v in after.items() if k in before} == before
    assert all(k.startswith("embed/.dinov2.next/") for k in set(after) - set(before))
    assert [x.name for x in workspace.layers()] == shown
    assert filtering.filter_labels(workspace, config, ENGINE).images == 0
    assert filtering.try_rules(workspace, other, ENGINE) == tried
    done = filtering.filter_labels(workspace, other, ENGINE, overwrite=True)
    assert len(embedded) == 6
    assert done.images == 6
    assert not (workspace.path / "embed/.dinov2.next").exists()


def test_a_dry_run_by_geometry_writes_nothing(workspace: Workspace) -> None:
    before = files(workspace.path)
    filtering.try_rules(workspace, FilterConfig(min_side=6), ENGINE)
    assert files(workspace.path) == before


def test_a_dry_run_changes_no_label_and_tells_what_a_run_does(
    workspace: Workspace, clip: str, dinov2: str
) -> None:
    config = both(clip, dinov2, clip_class=True, min_side=6, dinov2_distance=1.5)
    before = files(workspace.path)
    cold = filtering.try_rules(workspace, config, ENGINE)
    after = files(workspace.path)
    assert {k: v for k, v in after.items() if not k.startswith(("embed/", ".lock"))} == {
        k: v for k, v in before.items() if not k.startswith(".lock")
    }
    layer = filtering.filter_labels(workspace, config, ENGINE).layer
    after = files(workspace.path)
    assert filtering.try_rules(workspace, config, ENGINE) == cold
    assert files(workspace.path) == after
    assert [trial.rule for trial in cold] == ["min_side", "clip_class", "dinov2_distance"]
    for trial in cold:
        reasons = [
            (r.partition(":")[0], name)
            for record in layer.records()
            for r, name in zip(record.objects.reason, record.objects.label, strict=True)
            if r is not None
        ]
        for name in ("cat", "dog"):
            assert trial.classes.get(name, 0) == reasons.count((trial.rule, name))
        assert trial.alone >= sum(trial.classes.values())


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


def test_near_duplicates_are_capped(workspace: Workspace, tmp_path: Path) -> None:
    photo = Image.open(tmp_path / "photos/0000.png")
    for i in range(2):
        copy = photo.copy()
        copy.putpixel((0, i), (1, 2, 3))
        copy.save(tmp_path / f"photos/9{i}.png")
    config = IngestConfig(source=(str(tmp_path / "photos"),), shard_size=2)
    ingest(workspace, config, ENGINE)
    label(workspace, seed=0)
    layer = filtering.filter_labels(workspace, FilterConfig(max_per_group=2), ENGINE).layer
    by_uri = {r.uri: r for r in layer.records()}
    assert by_uri["90.png"].split == "pool"
    assert by_uri["91.png"].split == EXCLUDED
    assert by_uri["91.png"].note == "max_per_group: 3 > 2"
    assert len(by_uri["91.png"].objects) == 4
    (trial,) = filtering.try_rules(workspace, FilterConfig(max_per_group=2), ENGINE)
    assert (trial.rule, trial.alone) == ("max_per_group", 4)


def test_an_image_that_is_gone_costs_only_itself(
    workspace: Workspace, tmp_path: Path, clip: str
) -> None:
    (tmp_path / "photos/0002.png").unlink()
    layer = filtering.filter_labels(workspace, FilterConfig(clip=clip), ENGINE).layer
    errors = {r.uri: r.error for r in layer.records() if r.error}
    assert list(errors) == ["0002.png"]
    assert len(list(layer.records())) == 6


def sorted_crops(folder: Path) -> Path:
    for name, colour in (("cat", 255), ("other", 0)):
        for i in range(3):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((20, 20, 3), abs(colour - 9 * i), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


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


def test_mistakes(run: Run, workspace: Workspace, tmp_path: Path, clip: str) -> None:
    for arguments, message in [
        (("--clip-margin", "0.1"), "clip_margin needs an embedder"),
        (("--rules", "clip"), "there is no rule 'clip'"),
        (("--class-min-score", "cow=0.4"), "class_min_score names 'cow'"),
        (("--from", "images"), "images/ has no labels"),
        (("--clip", clip, "--templates", "a photo"), "must hold {} once"),
        (("--dinov2", clip), "is a clip checkpoint, not a image"),
    ]:
        done = run("filter", workspace.path, *arguments)
        assert done.status > 0
        assert message in done.err
        assert "hint:" in done.err
    filtering.filter_labels(workspace, FilterConfig(min_side=1), ENGINE)
    with pytest.raises(UsageError, match="cannot be made from itself"):
        filtering.filter_labels(workspace, FilterConfig(), ENGINE, from_layer="filter")


def test_masks_are_filtered_and_kept(
    workspace: Workspace, random_segmenter: Path, clip: str
) -> None:
    """`filter` reads what `refine` made: masks stay, and can be a reason of their own."""
    refined = (
        STAGES["refine"]
        .run(workspace, RefineConfig(model=str(random_segmenter), box_margin=0.0), ENGINE)
        .layer
    )
    config = FilterConfig(clip=clip, clip_score=0.2, mask_fill=0.6)
    done = filtering.filter_labels(workspace, config, ENGINE)
    assert done.layer.manifest.source is not None
    assert done.layer.manifest.source["layer"] == "refine"
    reasons = []
    for before, after in zip(refined.records(), done.layer.records(), strict=True):
        assert after.image_id == before.image_id
        np.testing.assert_array_equal(after.objects.mask, before.objects.mask)
        np.testing.assert_array_equal(after.objects.xyxy, before.objects.xyxy)
        for i, reason in enumerate(after.objects.reason):
            if reason.startswith("mask_fill"):
                area = mask_areas(after.objects.mask[i : i + 1], after.height, after.width)[0]
                assert area / box_areas(after.objects.xyxy[i : i + 1])[0] < 0.6
        reasons += [r.partition(":")[0] for r in after.objects.reason if r]
    assert {"mask_fill", "clip_score"} <= set(reasons)
    boxes_only = filtering.filter_labels(
        workspace, config, ENGINE, from_layer="detect", overwrite=True
    )
    assert not any(
        "mask_fill" in r for rec in boxes_only.layer.records() for r in rec.objects.reason
    )
