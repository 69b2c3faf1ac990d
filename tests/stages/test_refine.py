from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autolabel import registry
from autolabel.config import EngineConfig, IngestConfig, RefineConfig
from autolabel.engine import local
from autolabel.engine.base import Progress
from autolabel.errors import AutolabelError
from autolabel.evaluate.replay import replay
from autolabel.models.base import Segmented
from autolabel.ops import masks
from autolabel.ops.images import content_id
from autolabel.stages.history import ontology_of
from autolabel.stages.ingest import ingest
from autolabel.stages.refine import EMPTY, Refine, cleaned, merge
from autolabel.stages.running import tasks_from
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.types import Objects, Record
from tests.conftest import Run, make_photos, save_random_segmenter
from tests.layers import begin, finish

HEIGHT, WIDTH = 64, 96


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def segmented(*dense: np.ndarray) -> Segmented:
    figures = np.linspace(0.5, 0.75, len(dense)).astype(np.float32)
    return Segmented(tuple(masks.encode(np.array(dense))), figures, figures)


def three() -> Objects:
    return Objects.create(
        ["a", "b", "c"],
        [0.9, 0.8, 0.7],
        [[0, 0, 12, 12], [20, 20, 30, 30], [40, 40, 52, 52]],
        keep=[True, False, True],
        reason=[None, "filter: area", None],
        scores=[{"detector": 0.9}, {"detector": 0.8}, {"detector": 0.7}],
    )


def test_merge_keeps_places_and_rejections() -> None:
    objects = three()
    found = segmented(square(1, 1, 10), square(41, 41, 9))
    after = merge(objects, found, HEIGHT, WIDTH, tighten=False)
    assert after.label.tolist() == ["a", "b", "c"]
    assert after.keep.tolist() == [True, False, True]
    assert after.reason.tolist() == [None, "filter: area", None]
    assert after.mask.tolist() == [found.masks[0], None, found.masks[1]]
    assert after.scores[0] == {"detector": 0.9, "sam_iou": 0.5, "sam_stability": 0.5}
    assert after.scores[1] == {"detector": 0.8}
    assert np.array_equal(after.xyxy, objects.xyxy)
    assert objects == three()  # arguments are not touched


def test_an_empty_mask_rejects_the_object_and_keeps_its_box() -> None:
    found = segmented(square(0, 0, 0), square(41, 41, 9))
    after = merge(three(), found, HEIGHT, WIDTH, tighten=True)
    assert after.keep.tolist() == [False, False, True]
    assert after.reason.tolist() == [EMPTY, "filter: area", None]
    assert after.mask[0] is None
    assert after.xyxy.tolist() == [[0, 0, 12, 12], [20, 20, 30, 30], [41, 41, 50, 50]]


def test_clean_up_is_off_unless_asked_for() -> None:
    speckled = square(1, 1, 10) | square(30, 30, 1)
    speckled[5, 5] = False
    found = segmented(speckled)
    box = np.array([[1, 1, 11, 7]], np.float32)

    def after(**options: float) -> np.ndarray:
        tidy = cleaned(found, box, HEIGHT, WIDTH, RefineConfig(**options))
        return masks.decode(tidy.masks, HEIGHT, WIDTH)[0]

    assert cleaned(found, box, HEIGHT, WIDTH, RefineConfig()) is found
    assert np.array_equal(after(min_speck=3, fill_holes=2), square(1, 1, 10))
    cut = square(1, 1, 10)
    cut[7:] = False
    assert np.array_equal(after(box_margin=0, fill_holes=2), cut)
    assert np.array_equal(after(box_margin=0.7, fill_holes=2), square(1, 1, 10))


def labelled(workspace: Workspace, photos: Path, boxes: int = 3) -> Layer:
    """A `detect` layer of made-up boxes: none in every third image, else one is rejected."""
    ingest(workspace, IngestConfig(source=(str(photos),), shard_size=4), EngineConfig())
    source = workspace.require("images")
    ontology = {"classes": {"cell": ["cell"]}, "negatives": []}
    manifest = Manifest(stage="detect", settings={"ontology": ontology}, model=None)
    layer = begin(workspace, "detect", bound_to(manifest, source), overwrite=True)
    rng = np.random.default_rng(0)
    for index in source.shards():
        records = []
        for i, record in enumerate(source.read(index)):
            count = 0 if i % 3 == 2 else boxes
            corners = np.sort(rng.uniform(0, 60, (count, 2, 2)), axis=1).reshape(count, 4)
            objects = Objects.create(
                ["cell"] * count,
                rng.random(count),
                corners,
                keep=np.arange(count) != 1,
                reason=["test" if j == 1 else None for j in range(count)],
            )
            records.append(replace(record, objects=objects))
        layer.write(index, records, source.digest(index))
    return finish(workspace, layer)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    make_photos(tmp_path / "photos", 10)
    workspace = Workspace(tmp_path / "ws")
    labelled(workspace, tmp_path / "photos")
    return workspace


def test_masks_of_every_kept_box(workspace: Workspace, random_segmenter: Path) -> None:
    config = RefineConfig(model=str(random_segmenter))
    layer = STAGES["refine"].run(workspace, config, EngineConfig()).layer
    before, after = list(workspace.require("detect").records()), list(layer.records())
    assert [r.image_id for r in before] == [r.image_id for r in after]
    seen = 0
    for one, other in zip(before, after, strict=True):
        assert other.error is None
        assert one.objects.label.tolist() == other.objects.label.tolist()
        for i, keep in enumerate(one.objects.keep):
            assert (other.objects.mask[i] is not None) == other.objects.keep[i]
            if not keep:
                assert other.objects.reason[i] == "test"
                continue
            assert {"sam_iou", "sam_stability"} <= set(other.objects.scores[i])
            if other.objects.keep[i]:
                (mask,) = masks.decode([other.objects.mask[i]], one.height, one.width)
                assert mask.any()
                seen += 1
            else:
                assert other.objects.reason[i] == EMPTY
    assert seen > 5
    assert ontology_of(layer).names == ("cell",)
    assert STAGES["refine"].run(workspace, config, EngineConfig()).images == 0


def test_the_encoder_runs_once_for_each_image_with_kept_boxes(
    workspace: Workspace, random_segmenter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autolabel.models import sam

    monkeypatch.setattr(sam, "BOXES_PER_PASS", 1)  # several passes share the one encoding
    stage = Refine(
        RefineConfig(),
        ontology_of(workspace.require("detect")),
        {"model": registry.locate("segmenter", str(random_segmenter))},
        "cpu",
    )
    runs: Counter[str] = Counter()
    model = stage.segmenter.model
    model.vision_encoder.register_forward_hook(lambda *_: runs.update(["encoder"]))
    model.mask_decoder.register_forward_hook(lambda *_: runs.update(["decoder"]))
    source = workspace.require("detect")
    layer = begin(
        workspace, "refine", bound_to(Manifest(stage="refine", settings={}), source), overwrite=True
    )
    tasks = tasks_from(source, layer.to_do(source))
    local.run(lambda: stage, layer, tasks, Progress(), batch_size=4, photos=workspace.source_root)
    kept = [int(record.objects.keep.sum()) for record in source.records()]
    assert 0 in kept
    assert runs == {"encoder": sum(k > 0 for k in kept), "decoder": sum(kept)}


def test_images_without_kept_boxes_are_not_read(
    tmp_path: Path, workspace: Workspace, random_segmenter: Path
) -> None:
    config = RefineConfig(model=str(random_segmenter))
    without = [r for r in workspace.require("detect").records() if not len(r.objects)]
    assert without
    for record in without:
        (tmp_path / "photos" / record.uri).unlink()
    layer = STAGES["refine"].run(workspace, config, EngineConfig()).layer
    assert all(record.error is None for record in layer.records())


def test_tight_boxes_are_those_of_the_masks(workspace: Workspace, random_segmenter: Path) -> None:
    config = RefineConfig(model=str(random_segmenter), tighten=True)
    for record in STAGES["refine"].run(workspace, config, EngineConfig()).layer.records():
        kept = record.objects.kept
        expected = masks.boxes(list(kept.mask), record.height, record.width)
        assert np.array_equal(kept.xyxy, expected)


def test_other_settings_and_other_models_are_refused(
    tmp_path: Path, workspace: Workspace, random_segmenter: Path
) -> None:
    STAGES["refine"].run(workspace, RefineConfig(model=str(random_segmenter)), EngineConfig())
    other = RefineConfig(model=str(random_segmenter), box_agreement=0.1)
    with pytest.raises(AutolabelError, match="box_agreement"):
        STAGES["refine"].run(workspace, other, EngineConfig())
    other = RefineConfig(model=str(save_random_segmenter(tmp_path / "other", seed=1)))
    with pytest.raises(AutolabelError, match="model"):
        STAGES["refine"].run(workspace, other, EngineConfig())


def test_an_image_without_labels_is_no_source(workspace: Workspace, random_segmenter: Path) -> None:
    config = RefineConfig(model=str(random_segmenter))
    with pytest.raises(AutolabelError, match="has no labels"):
        STAGES["refine"].run(workspace, config, EngineConfig(), from_layer="images")


def test_a_batch_equals_one_by_one(workspace: Workspace, random_segmenter: Path) -> None:
    config = RefineConfig(model=str(random_segmenter))
    STAGES["refine"].run(workspace, config, EngineConfig(batch_size=1))
    one = [p.read_bytes() for p in sorted((workspace.path / "refine").glob("*.parquet"))]
    other = config.model_copy(update={"tighten": True})  # so that the layer is made anew
    STAGES["refine"].run(workspace, other, EngineConfig(batch_size=4), overwrite=True)
    STAGES["refine"].run(workspace, config, EngineConfig(batch_size=4), overwrite=True)
    four = [p.read_bytes() for p in sorted((workspace.path / "refine").glob("*.parquet"))]
    assert one == four


def test_wants() -> None:
    def wants(record: Record) -> bool:
        return Refine.wants(None, record)  # type: ignore[arg-type]

    found = Record("0" * 32, "a.png", WIDTH, HEIGHT, objects=three())
    assert wants(found)
    assert not wants(replace(found, objects=Objects.empty()))
    assert not wants(replace(found, objects=replace(three(), keep=np.zeros(3, bool))))
    assert not wants(replace(found, split="leak"))
    assert not wants(found.failed("broken"))


def test_the_command(
    run: Run, tmp_path: Path, random_detector: Path, random_segmenter: Path
) -> None:
    make_photos(tmp_path / "photos", 4)
    ws = tmp_path / "ws"
    done = run(
        "detect", tmp_path / "photos", "-w", ws, "--model", random_detector, "--prompt", "cat",
        "--box-threshold", 0.1,
    )  # fmt: skip
    assert done.status == 0, done.err
    done = run("refine", ws, "--model", random_segmenter, "--json")
    assert done.status == 0, done.err
    assert done.json()["refine"]["images"] == 4
    assert "refine: 4 images done" in done.err
    done = run("refine", ws, "--model", random_segmenter)
    assert "refine: nothing to do" in done.err
    done = run("refine", ws, "--model", random_detector, "--overwrite")
    assert done.status == 1
    assert "not a segmenter" in done.err


def test_labelling_the_truth_repeats_the_refinement(
    run: Run, tmp_path: Path, random_detector: Path, random_segmenter: Path
) -> None:
    make_photos(tmp_path / "photos", 3)
    aside = make_photos(tmp_path / "aside", 5, (80, 60))[3:]
    ws = Workspace(tmp_path / "ws")
    run(
        "detect", tmp_path / "photos", "-w", ws.path, "--model", random_detector, "--prompt",
        "cat", "--box-threshold", 0.1,
    )  # fmt: skip
    STAGES["refine"].run(
        ws, RefineConfig(model=str(random_segmenter), tighten=True), EngineConfig()
    )
    layer = replay(ws, ws.require("refine"), aside, EngineConfig())
    assert layer.name == "refine"
    assert layer.manifest.settings["tighten"]
    records = list(layer.records())
    assert {r.image_id for r in records} == {content_id(p.read_bytes()) for p in aside}
    assert all(m is not None for r in records for m in r.objects.kept.mask)
    assert replay(ws, ws.require("detect"), aside, EngineConfig()).name == "detect"
