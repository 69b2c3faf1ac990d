"""The filter over whole workspaces: what is run again, and what is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.config import FilterConfig, IngestConfig, RefineConfig
from autolabel.errors import UsageError
from autolabel.ops.boxes import box_areas
from autolabel.ops.masks import areas as mask_areas
from autolabel.stages import filter as filtering
from autolabel.stages.ingest import ingest
from autolabel.stages.table import STAGES
from autolabel.store import Workspace
from autolabel.types import EXCLUDED
from tests.conftest import Run
from tests.stages.filter.conftest import ENGINE, both, files, label


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
