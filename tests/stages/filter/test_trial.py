"""The dry run tells what a run does, and leaves what is there."""

from __future__ import annotations

from pathlib import Path

from autolabel.config import FilterConfig
from autolabel.stages import filter as filtering
from autolabel.store import Workspace
from tests.embedders import save_random_dinov2
from tests.stages.filter.conftest import ENGINE, both, files


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
