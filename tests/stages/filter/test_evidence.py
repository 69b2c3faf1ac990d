from __future__ import annotations

import numpy as np
import pytest

from autolabel.config import FilterConfig
from autolabel.models.base import Scoring
from autolabel.ontology import Ontology
from autolabel.stages.embed import TextVectors, Wording, embed_texts
from autolabel.stages.filter.evidence import (
    Crowds,
    chances_of,
    distances_of,
    distances_to,
    find_crowds,
    joined,
)
from autolabel.stages.filter.probe import Examples, Probe
from autolabel.stages.filter.stage import Filter
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Objects, Record

CLIP_LIKE = Scoring(10.0, 0.0, False)
AXES = np.eye(4, dtype=np.float32)
TEXTS = TextVectors(("cat", "dog", "toy", "background"), 2, AXES, CLIP_LIKE)


def labels(*names: str) -> Objects:
    return Objects.create(names, [0.5] * len(names), [[0, 0, 9, 9]] * len(names))


def record(objects: Objects, **vectors: np.ndarray) -> Record:
    keyed = {name.replace("_", "/"): value for name, value in vectors.items()}
    return Record("a", "a", 20, 20, objects=objects, vectors=keyed)


def unit(rows: list[list[float]]) -> np.ndarray:
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_chances_and_the_reasons_that_come_of_them() -> None:
    crops = AXES[[0, 1, 2, 3]]
    found = chances_of(labels("cat", "cat", "cat", "cat"), crops, None, TEXTS)
    assert found.other.tolist()[1:] == ["dog", "toy", "background"]
    np.testing.assert_allclose(found.own[0], 1, atol=1e-3)
    assert found.margin[0] > 0.99
    assert (found.margin[1:] < -0.99).all()
    (result,) = Filter(FilterConfig(clip="x", clip_class=True), TEXTS)(
        [record(labels("cat", "cat", "cat", "cat"), clip_crops=crops)]
    )
    assert result.objects.reason.tolist() == [
        None,
        "clip_class: dog 1.00 > 0.00",
        "clip_class: toy 1.00 > 0.00",
        "clip_class: background 1.00 > 0.00",
    ]
    assert result.objects.scores[0]["clip"] == pytest.approx(found.own[0])
    assert result.objects.scores[1]["clip_margin"] == pytest.approx(found.margin[1])
    assert result.vectors is None


def test_margin_score_and_whole_image() -> None:
    crops = unit([[1, 0.9, 0, 0]])
    stage = Filter(FilterConfig(clip="x", clip_margin=0.9), TEXTS)
    (result,) = stage([record(labels("cat"), clip_crops=crops)])
    (reason,) = result.objects.reason
    assert reason.startswith("clip_margin: 0.")
    assert reason.endswith("< 0.9")
    stage = Filter(FilterConfig(clip="x", clip_score=0.9), TEXTS)
    (result,) = stage([record(labels("cat"), clip_crops=crops)])
    assert result.objects.reason[0].startswith("clip_score: 0.")
    stage = Filter(FilterConfig(clip="x", clip_image=0.5), TEXTS)
    image = unit([[0, 1, 0, 0.5]])
    (result,) = stage([record(labels("cat", "dog"), clip_crops=AXES[[0, 1]], clip_image=image)])
    assert result.objects.keep.tolist() == [False, True]
    assert result.objects.reason[0].startswith("clip_image: 0.01 < 0.5")


def test_sigmoid_scores_each_text_by_itself() -> None:
    siglip = TextVectors(TEXTS.names, 2, AXES, Scoring(10.0, -5.0, True))
    found = chances_of(labels("cat"), unit([[1, 1, 0, 0]]), None, siglip)
    expected = 1 / (1 + np.exp(5 - 10 / np.sqrt(2)))
    np.testing.assert_allclose(found.own, expected, rtol=1e-5)
    np.testing.assert_allclose(found.margin, 0, atol=1e-6)


def test_a_class_that_the_texts_do_not_know_has_no_chance() -> None:
    found = chances_of(labels("bird"), AXES[:1], None, TEXTS)
    assert found.own.tolist() == [0]


def test_the_ensemble_is_the_mean_of_unit_vectors() -> None:
    class Letters:
        dimensions, scoring = 3, CLIP_LIKE

        def embed_images(self, crops: list) -> np.ndarray:
            raise AssertionError

        def embed_texts(self, texts: list[str]) -> np.ndarray:
            return unit([[t.count("a") + 1, t.count("b"), len(t)] for t in texts])

    ontology = Ontology.from_prompts(["cat=cat, tabby", "dog"], ["toy"])
    wording = Wording.of(ontology, ["a {}", "big {}"], ["nothing"])
    assert wording.texts[0] == ("a cat", "big cat", "a tabby", "big tabby")
    assert wording.names == ("cat", "dog", "toy", "background")
    found = embed_texts(Letters(), wording)
    mean = Letters().embed_texts(list(wording.texts[0])).mean(axis=0)
    np.testing.assert_allclose(found.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    import json

    back = TextVectors.from_json(json.loads(found.to_json()))
    np.testing.assert_allclose(back.vectors, found.vectors, atol=1e-7)
    assert (back.names, back.classes, back.scoring) == (found.names, 2, CLIP_LIKE)
    other = Wording.of(ontology, ["a {}"], ["nothing"])
    assert other.fingerprint() != wording.fingerprint()


def cloud(rng: np.random.Generator, axis: int, count: int) -> np.ndarray:
    return unit((AXES[axis] + rng.normal(0, 0.1, (count, 4))).tolist())


def test_crowds_stand_a_minority_of_errors() -> None:
    """A third of the labels of `cat` are dogs, all alike, and lie closer together than the cats."""
    rng = np.random.default_rng(0)
    cats, dogs = cloud(rng, 0, 60), unit((AXES[1] + rng.normal(0, 0.02, (30, 4))).tolist())
    vectors = np.concatenate([cats, dogs, cloud(rng, 1, 60)])
    objects = labels(*["cat"] * 90, *["dog"] * 60)
    one = record(objects, dinov2_crops=vectors)
    crowds = find_crowds([one], neighbours=5, share=0.5)
    assert (crowds.members["cat"] @ AXES[0] > 0.9).all()
    found = distances_of(objects, vectors, crowds)
    assert found.own[:60].max() < found.own[60:90].min()
    config = FilterConfig(dinov2="x", dinov2_class=1.0)
    (result,) = Filter(config, crowds=crowds)([one])
    assert result.objects.keep[:60].all()
    assert not result.objects.keep[60:90].any()
    assert result.objects.keep[90:].all()
    assert result.objects.reason[60].startswith("dinov2_class: nearer to dog, ")
    (result,) = Filter(FilterConfig(dinov2="x", dinov2_distance=4), crowds=crowds)([one])
    assert not result.objects.keep[60:90].any()
    assert result.objects.scores[0]["dinov2"] == pytest.approx(found.own[0])


def test_a_crop_is_not_its_own_neighbour() -> None:
    rng = np.random.default_rng(0)
    crowd = cloud(rng, 0, 5).astype(np.float16).astype(np.float32)
    distances = distances_to(crowd, crowd, 1)
    assert (distances > 1e-4).all()
    assert np.isinf(distances_to(crowd[:1], crowd[:1], 3)).all()
    lone = Crowds({"cat": crowd[:1]}, {"cat": 0.1}, 3)
    found = distances_of(labels("cat", "dog"), crowd[:2], lone)
    assert np.isfinite(found.own).all()
    assert found.ratio.tolist() == [0, 0]


def test_crowds_survive_their_file() -> None:
    rng = np.random.default_rng(0)
    one = record(labels("cat", "dog", "cat"), dinov2_crops=cloud(rng, 0, 3))
    crowds = find_crowds([one], neighbours=2, share=1.0)
    data = crowds.to_bytes()
    assert data == find_crowds([one], neighbours=2, share=1.0).to_bytes()
    back = Crowds.from_bytes(data)
    assert back.usual == crowds.usual
    np.testing.assert_array_equal(back.members["cat"], crowds.members["cat"])
    with pytest.raises(ValueError, match=r"\w"):
        Crowds.from_bytes(data[:50])


def test_a_crowd_is_found_among_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.stages.filter.evidence.LARGEST_SAMPLE", 8)
    rng = np.random.default_rng(0)
    one = record(labels(*["cat"] * 100), dinov2_crops=cloud(rng, 0, 100))
    crowds = find_crowds([one], neighbours=2, share=1.0)
    assert 4 < len(crowds.members["cat"]) <= 8


def test_rejected_and_unusable_labels_are_in_no_crowd() -> None:
    rng = np.random.default_rng(0)
    objects = Objects.create(["cat", "cat"], [1, 1], [[0, 0, 9, 9]] * 2, keep=[True, False])
    good = record(objects, dinov2_crops=cloud(rng, 0, 2))
    from dataclasses import replace

    leak = replace(good, split="leak")
    crowds = find_crowds([good, leak], neighbours=2, share=1.0)
    assert len(crowds.members["cat"]) == 1
    assert find_crowds([leak], neighbours=2, share=1.0).members == {}


@pytest.mark.parametrize("kind", ["logistic", "neighbours"])
def test_the_probe_vetoes_or_relabels(kind: str) -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([cloud(rng, 0, 8), cloud(rng, 1, 8), cloud(rng, 2, 8)])
    names = np.array(["cat"] * 8 + ["dog"] * 8 + ["junk"] * 8)
    examples = Examples.from_bytes(Examples(names, vectors).to_bytes())
    probe = Probe(examples, kind, frozenset({"cat", "dog"}))
    one = record(labels("cat", "cat", "cat"), dinov2_crops=AXES[[0, 1, 2]])
    veto = FilterConfig(dinov2="x", examples="y", probe_kind=kind)
    (result,) = Filter(veto, probe=probe)([one])
    assert result.objects.keep.tolist() == [True, False, False]
    assert result.objects.reason[1].startswith("examples: dog ")
    relabel = veto.model_copy(update={"probe": "relabel"})
    (result,) = Filter(relabel, probe=probe)([one])
    assert result.objects.label.tolist() == ["cat", "dog", "cat"]
    assert result.objects.keep.tolist() == [True, True, False]
    assert one.objects.label.tolist() == ["cat", "cat", "cat"]


def test_joined_rows_must_be_those_of_the_records() -> None:
    row = Record("a", "", error="gone", vectors={CROPS: AXES[:1], WHOLE: AXES[1:2]})
    (found,) = joined([Record("a", "a")], {"clip": [row]})
    assert found.error == "gone"
    assert set(found.vectors or {}) == {"clip/crops", "clip/image"}
    with pytest.raises(ValueError, match="clip has image a, not b"):
        joined([Record("b", "b")], {"clip": [row]})
