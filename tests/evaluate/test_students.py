"""Teacher, labels and students on the same photos, through the command that people type."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from autolabel.evaluate import speed as speed_of
from autolabel.metrics.figures import FIGURES
from autolabel.store import Workspace
from tests.conftest import Run, make_photos
from tests.evaluate.scene import AWAY, BOX, Scene, measured, rows_of, write_truth
from tests.evaluate.standin import stand_in


def test_everything_is_measured_on_the_same_photos(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    scene.student("small", ["cat", 0.9, BOX], ["dog", 0.2, AWAY], ["dog", 0.6, BOX])
    result = measured(run, scene)
    rows = rows_of(result)
    assert [(r["name"], r["kind"]) for r in result["rows"]] == [
        ("detect", "teacher"), ("filter", "labels"), ("small", "student"),
    ]  # fmt: skip
    small = rows["small"]
    assert (small["precision"], small["recall"]) == (0.5, 0.5)  # from score 0.25
    assert small["score_threshold"] == 0.25
    assert small["classes"]["dog"]["fp"] == small["classes"]["dog"]["fn"] == 4
    # A cat is small and a dog is not; the wrong dog is small, and so no wrong one of medium size.
    assert small["ap_small"] == small["ap_medium"] == pytest.approx(1)
    assert small["classes"]["dog"]["ap50"] == pytest.approx(0.5)
    assert small["ap_large"] is None
    assert small["best_f1"]["recall"] == 1  # from 0.2 on
    assert small["confusion"] == {
        "labels": ["cat", "dog", "background"], "matrix": [[4, 0, 0], [0, 0, 4], [0, 4, 0]],
    }  # fmt: skip
    assert small["layer"] == "student/small"
    home = Workspace(scene.home / result["workspace"])
    layer = home.require("student/small")
    assert sum(len(r.objects) for r in layer.records()) == 12
    assert [(d["of"], d["minus"]) for d in result["differences"]] == [
        ("filter", "detect"), ("small", "filter"),
    ]  # fmt: skip
    gap = result["differences"][1]["figures"]["f1"]
    assert gap["value"] == pytest.approx(small["f1"] - rows["filter"]["f1"])
    assert gap["interval"][0] <= gap["value"] <= gap["interval"][1]
    assert set(FIGURES) <= set(small) & set(small["classes"]["cat"])
    json.dumps(result, allow_nan=False)


def test_nothing_is_predicted_or_measured_twice(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = stand_in(monkeypatch)
    scene.student("small", ["cat", 0.9, BOX])
    first = measured(run, scene, speed=1)
    before = len(loaded)
    assert before == 2  # to predict, and to be timed
    assert measured(run, scene, speed=1) == first
    assert len(loaded) == before
    kept = json.loads((scene.home / "evaluate/result.json").read_text())
    assert kept["result"] | {"left_out_images": 0, "stale_images": 0} == first
    again = measured(run, scene, "--iou", "0.6")
    assert again["iou"] == 0.6
    assert len(loaded) == before  # the predictions are there
    scene.student("small", ["cat", 0.9, AWAY])  # trained anew
    other = measured(run, scene)
    assert len(loaded) == before + 1
    assert rows_of(other)["small"]["recall"] == 0 < rows_of(first)["small"]["recall"]


def test_speed_is_that_of_the_same_photos_on_the_same_device(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, seconds=0.1)
    monkeypatch.setattr(speed_of, "REPEATS", 3)
    scene.student("small", ["cat", 0.9, BOX])
    result = measured(run, scene, "--batch-size", 2, speed=3)
    speed = result["speed"]
    assert (speed["device"], speed["batch_size"], speed["images"]) == ("cpu", 2, 3)
    assert 1 < speed["students"]["small"] <= 10  # 0.1 s each, or more on a busy machine
    assert speed["image_sizes"] == [[96, 64]]
    assert speed["batch_sizes"] == {"detect": 2, "small": 2}
    assert speed["processor"]
    assert min(speed["cores"], speed["threads"]) >= 1
    rounds = speed["rounds"]["times_faster"]["small"]
    assert speed["repeats"] == len(rounds) == 3
    assert speed["times_faster"]["small"] == median(rounds)
    assert speed["times_faster_range"]["small"] == [min(rounds), max(rounds)]
    assert speed["teacher"] == 1 / median(speed["rounds"]["teacher_seconds_per_image"])
    rows = rows_of(result)
    assert rows["small"]["images_per_second"] == speed["students"]["small"]
    assert rows["filter"]["images_per_second"] == speed["teacher"]
    assert rows["detect"]["images_per_second"] >= speed["teacher"] > 0
    assert measured(run, scene)["speed"] is None


class Machine:
    """One that gets ever slower; what runs on it takes no real time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(speed_of.time, "perf_counter", lambda: self.now)

    def model(self, seconds_an_image: float) -> Any:
        def call(batch: list[int]) -> None:
            self.now += len(batch) * seconds_an_image * (1 + self.now / 10)

        return speed_of._Call(call, list(range(16)))


def test_a_machine_that_gets_slower_does_not_change_the_ratio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch)
    calls = {"": machine.model(0.1), "small": machine.model(0.01)}
    rounds = speed_of._in_turns(calls, 4)
    assert rounds[-1][""] > 1.5 * rounds[0][""]
    found = speed_of._summary([rounds, rounds], ["small"])
    assert found["repeats"] == speed_of.REPEATS
    assert found["times_faster"]["small"] == pytest.approx(20, rel=0.2)  # two stages of 10 each
    low, high = found["times_faster_range"]["small"]
    assert 16 < low < high < 24


def test_slow_models_are_timed_on_fewer_photos_and_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    rounds = speed_of._in_turns({"": machine.model(5), "small": machine.model(0.01)}, 4)
    assert len(rounds) == 1
    assert machine.now < 2000


def test_students_are_chosen_by_name_or_file(
    run: Run, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    folder = scene.student("small", ["cat", 0.9, BOX])
    scene.student("stopped", state="unfinished")
    scene.student("filter", ["dog", 0.9, AWAY])
    moved = shutil.copy(folder / "best.pt", tmp_path / "other one.pt")
    done = run("evaluate", scene.home, "--truth", scene.truth, "--bootstrap", 0)
    assert done.status == 0, done.err
    assert "student stopped is left out: its training is unfinished" in done.err
    every = measured(run, scene)
    names = ["detect", "filter", "filter-student", "small"]
    assert [row["name"] for row in every["rows"]] == names
    two = measured(run, scene, "--student", "small", "--student", moved)
    assert [row["name"] for row in two["rows"]] == ["detect", "filter", "small", "other-one"]
    none = measured(run, scene, "--student", "none", "--layer", "filter")
    assert [row["name"] for row in none["rows"]] == ["filter"]
    assert none["differences"] == []
    unknown = run("evaluate", scene.home, "--truth", scene.truth, "--student", "smal")
    assert unknown.status == 2
    assert "did you mean 'small'?" in unknown.err
    stopped = run("evaluate", scene.home, "--truth", scene.truth, "--student", "stopped")
    assert stopped.status == 1
    assert "training is unfinished" in stopped.err


def test_names_of_classes_are_matched_whatever_their_case(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    scene.student("small", ["CAT", 0.9, BOX], ["owl", 0.9, AWAY], names=("CAT", "owl"))
    row = rows_of(measured(run, scene))["small"]
    assert row["classes"]["cat"]["tp"] == 4
    assert row["precision"] == 1  # an owl is not among what is measured
    scene.student("small", names=("owl", "emu"))
    done = run("evaluate", scene.home, "--truth", scene.truth)
    assert done.status == 1
    assert "'owl', 'emu'" in done.err
    assert "'cat', 'dog'" in done.err


def test_a_student_of_before_a_renaming_is_measured_by_the_new_names(
    run: Run, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    scene = replace(scene, truth=Path(shutil.copytree(scene.truth, tmp_path / "pets")))
    scene.student("old", ["cat", 0.9, BOX], ["dog", 0.6, BOX], ["dog", 0.5, AWAY])
    scene.student("new", ["pet", 0.9, BOX], names=("pet",))
    assert run("relabel", scene.home, "--merge", "cat,dog=pet").status == 0
    write_truth(scene.truth, scene.held, {"pet": BOX})
    rows = rows_of(measured(run, scene))
    assert {"detect", "relabel", "old", "new"} == set(rows)
    old, new = (rows[name]["classes"]["pet"] for name in ("old", "new"))
    assert (old["tp"], old["fp"], old["fn"]) == (4, 4, 0), "one box of two classes counts once"
    assert (new["tp"], new["fp"], new["fn"]) == (4, 0, 0)
    assert rows["detect"]["classes"]["pet"]["predicted"] > 0
    assert run("relabel", scene.home, "--drop", "dog", "--overwrite").status == 0
    write_truth(scene.truth, scene.held, {"cat": BOX})
    old = rows_of(measured(run, scene, "--student", "old"))["old"]["classes"]["cat"]
    assert (old["tp"], old["fp"]) == (4, 0)


def test_what_is_empty_or_missing_still_makes_sense(
    run: Run, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    scene.student("silent", layer="filter", layer_fingerprint="that of older labels")
    alone = tmp_path / "one"
    alone.mkdir()
    photo = Path(shutil.copy(scene.held[0], alone))
    write_truth(alone, [photo], {"cat": BOX})  # one image, and nobody looked for dogs
    scene = Scene(scene.home, scene.held, alone)
    result = measured(run, scene)
    assert result["images"] == 1
    assert result["classes_without_truth"] == ["dog"]
    silent = rows_of(result)["silent"]
    assert (silent["precision"], silent["recall"], silent["ap50"]) == (None, 0, 0)
    assert silent["best_f1"] is silent["masks"] is None
    assert any("silent has nothing" in note for note in result["notes"])
    assert any("silent learned from labels that have changed" in n for n in result["notes"])
    done = run("evaluate", scene.home, "--truth", alone, "--bootstrap", 40)
    assert done.status == 0, done.err
    assert "silent" in done.out
    assert "absent from the hand labels: dog" in done.err


def test_a_filter_that_rejects_everything_is_measured(run: Run, scene: Scene) -> None:
    done = run("filter", scene.home, "--min-side", 5000, "--overwrite")
    assert done.status == 0, done.err
    result = measured(run, scene)
    rows = rows_of(result)
    assert rows["filter"]["precision"] is None
    assert rows["filter"]["recall"] == 0
    assert rows["detect"]["classes"]["cat"]["truth"] == 4
    assert "precision" not in result["differences"][0]["figures"]
    done = run("evaluate", scene.home, "--truth", scene.truth)
    assert done.status == 0, done.err


def test_a_damaged_or_older_result_is_made_anew(run: Run, scene: Scene) -> None:
    kept = scene.home / "evaluate/result.json"
    kept.parent.mkdir(exist_ok=True)
    for text in ("{", "[]", '{"key": 1, "result": {"ap": 1}}'):
        kept.write_text(text)
        assert measured(run, scene, "--layer", "detect")["rows"][0]["name"] == "detect"
        assert json.loads(kept.read_text())["result"]["rows"]


def test_photos_of_the_pool_are_measured_in_place_and_that_is_said(
    run: Run, tmp_path: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = stand_in(monkeypatch)
    photos = make_photos(tmp_path / "photos", 5)
    done = run(
        "detect", tmp_path / "photos", "-w", tmp_path / "ws", "--model", random_detector,
        "--prompt", "cat", "--prompt", "dog", "--box-threshold", 0.1,
    )  # fmt: skip
    assert done.status == 0, done.err
    (tmp_path / "truth").mkdir()
    held = [Path(shutil.copy(path, tmp_path / "truth")) for path in photos[:2]]
    write_truth(tmp_path / "truth", held, {"cat": BOX, "dog": AWAY})
    scene = Scene(tmp_path / "ws", photos, tmp_path / "truth")
    scene.student("small", ["cat", 0.9, BOX])
    result = measured(run, scene)
    assert (result["workspace"], result["images"], result["without_truth"]) == (".", 2, 3)
    assert any("belong to the pool" in note for note in result["notes"])
    assert loaded[0].calls == 1  # two photos of five
    assert rows_of(result)["small"]["classes"]["cat"]["tp"] == 2


def test_a_refinement_of_filtered_labels_is_repeated_in_that_order(
    run: Run, scene: Scene, random_segmenter: Path
) -> None:
    done = run("refine", scene.home, "--from", "filter", "--model", random_segmenter)
    assert done.status == 0, done.err
    result = measured(run, scene, "--layer", "refine")
    layer = Workspace(scene.home / result["workspace"]).require("refine")
    assert layer.manifest.source is not None
    assert layer.manifest.source["layer"] == "filter"
    rejected = [r for record in layer.records() for r in record.objects.reason if r]
    assert all(reason.startswith(("min_side", "refine")) for reason in rejected)
