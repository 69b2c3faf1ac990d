from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autolabel.config import FilterConfig
from autolabel.stages.filter import Filter
from autolabel.stages.filter.evidence import prototype_distances
from autolabel.stages.filter.prototypes import Prototypes, neighbour_distances
from autolabel.types import Objects
from tests.stages.filter.made import AXES, cloud, labels, prototypes_of, record, unit


def test_prototypes_stand_a_minority_of_errors() -> None:
    """A third of the labels of `cat` are dogs, all alike, and lie closer together than the cats."""
    rng = np.random.default_rng(0)
    cats, dogs = cloud(rng, 0, 60), unit((AXES[1] + rng.normal(0, 0.02, (30, 4))).tolist())
    vectors = np.concatenate([cats, dogs, cloud(rng, 1, 60)])
    objects = labels(*["cat"] * 90, *["dog"] * 60)
    one = record(objects, dinov2_crops=vectors)
    prototypes = prototypes_of(one, neighbours=5, share=0.5)
    assert (prototypes.members["cat"] @ AXES[0] > 0.9).all()
    found = prototype_distances(objects, vectors, prototypes)
    assert found.own[:60].max() < found.own[60:90].min()
    config = FilterConfig(dinov2="x", dinov2_class=1.0)
    (result,) = Filter(config, prototypes=prototypes)([one])
    assert result.objects.keep[:60].all()
    assert not result.objects.keep[60:90].any()
    assert result.objects.keep[90:].all()
    assert result.objects.reason[60].startswith("dinov2_class: nearer to dog, ")
    (result,) = Filter(FilterConfig(dinov2="x", dinov2_distance=4), prototypes=prototypes)([one])
    assert not result.objects.keep[60:90].any()
    assert result.objects.scores[0]["dinov2"] == pytest.approx(found.own[0])


def test_a_crop_is_not_its_own_neighbour() -> None:
    rng = np.random.default_rng(0)
    members = cloud(rng, 0, 5).astype(np.float16).astype(np.float32)
    distances = neighbour_distances(members, members, 1)
    assert (distances > 1e-4).all()
    assert np.isinf(neighbour_distances(members[:1], members[:1], 3)).all()
    lone = Prototypes({"cat": members[:1]}, {"cat": 0.1}, 3)
    found = prototype_distances(labels("cat", "dog"), members[:2], lone)
    assert np.isfinite(found.own).all()
    assert found.ratio.tolist() == [0, 0]


def test_prototypes_survive_their_file() -> None:
    rng = np.random.default_rng(0)
    one = record(labels("cat", "dog", "cat"), dinov2_crops=cloud(rng, 0, 3))
    prototypes = prototypes_of(one)
    data = prototypes.to_bytes()
    assert data == prototypes_of(one).to_bytes()
    back = Prototypes.from_bytes(data)
    assert back.median_distance == prototypes.median_distance
    np.testing.assert_array_equal(back.members["cat"], prototypes.members["cat"])
    with pytest.raises(ValueError, match=r"\w"):
        Prototypes.from_bytes(data[:50])


def test_prototypes_are_found_among_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.stages.filter.prototypes.LARGEST_SAMPLE", 8)
    rng = np.random.default_rng(0)
    one = record(labels(*["cat"] * 100), dinov2_crops=cloud(rng, 0, 100))
    prototypes = prototypes_of(one)
    assert 4 < len(prototypes.members["cat"]) <= 8


def test_rejected_and_unusable_labels_are_no_prototypes() -> None:
    rng = np.random.default_rng(0)
    objects = Objects.create(["cat", "cat"], [1, 1], [[0, 0, 9, 9]] * 2, keep=[True, False])
    good = record(objects, dinov2_crops=cloud(rng, 0, 2))
    leak = replace(good, split="leak")
    prototypes = prototypes_of(good, leak)
    assert len(prototypes.members["cat"]) == 1
    assert prototypes_of(leak).members == {}


def test_a_small_file_that_unpacks_to_a_large_one_is_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = np.zeros((1000, 100), np.float32)
    data = Prototypes({"cat": members}, {"cat": 1.0}, 2).to_bytes()
    assert len(data) < 2000
    Prototypes.from_bytes(data)
    monkeypatch.setattr("autolabel.stages.filter.prototypes.LARGEST_FIT", 100_000)
    with pytest.raises(ValueError, match="larger"):
        Prototypes.from_bytes(data)


@pytest.mark.parametrize(
    "prototypes",
    [
        Prototypes({"cat": AXES[0]}, {"cat": 1.0}, 2),
        Prototypes({"cat": AXES, "dog": AXES[:, :3]}, {"cat": 1.0, "dog": 1.0}, 2),
        Prototypes({"cat": AXES[:0]}, {"cat": 1.0}, 2),
        Prototypes({"cat": AXES}, {"cat": 1.0}, 0),
    ],
)
def test_prototypes_that_no_run_leaves_are_damaged(prototypes: Prototypes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        Prototypes.from_bytes(prototypes.to_bytes())
