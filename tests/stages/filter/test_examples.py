from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.config import FilterConfig
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.stages.filter import Filter
from autolabel.stages.filter.examples import ExampleVectors, Probe, find_examples
from tests.conftest import make_photos
from tests.stages.filter.made import AXES, cloud, labels, record

ONTOLOGY = Ontology.from_prompts(["cat", "dog"])


class Means:
    """Embeds a crop as its mean colour."""

    dimensions = 3

    def embed_images(self, crops: list[np.ndarray]) -> np.ndarray:
        rows = [c.reshape(-1, 3).mean(0) + 1 for c in crops]
        rows = np.array(rows, np.float32).reshape(-1, 3)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sorted_crops(folder: Path) -> Path:
    for name, colour in (("cat", (200, 10, 10)), ("other", (10, 10, 200))):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (8, 6 + i), colour).save(folder / name / f"{i}.png")
    return folder


def test_a_folder_for_each_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_examples(sorted_crops(tmp_path), ONTOLOGY, ())
    assert [e.name for e in found.examples] == ["cat", "cat", "other", "other"]
    monkeypatch.setattr("autolabel.stages.filter.examples.PER_PASS", 3)
    examples = found.embedded(Means(), 0.1)
    assert examples.vectors.shape == (4, 3)
    assert examples.names.tolist() == ["cat", "cat", "other", "other"]
    assert (examples.vectors[:2, 0] > examples.vectors[:2, 2]).all()
    assert found.fingerprint("a", 0.1) != found.fingerprint("b", 0.1)


def test_hand_labels(tmp_path: Path) -> None:
    make_photos(tmp_path, 1)
    rows = [
        {"id": i, "image_id": 1, "category_id": i, "bbox": [4 * i, 2, 9, 8], "area": 72}
        for i in (1, 2)
    ]
    truth = {
        "images": [{"id": 1, "file_name": "0000.png", "width": 96, "height": 64}],
        "annotations": [{**row, "iscrowd": 0} for row in rows],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(truth))
    found = find_examples(tmp_path, ONTOLOGY, ())
    assert [(e.name, e.box_xyxy) for e in found.examples] == [
        ("cat", (4, 2, 13, 10)),
        ("dog", (8, 2, 17, 10)),
    ]
    assert len(found.embedded(Means(), 0.1).names) == 2
    with pytest.raises(AutolabelError, match="is a held-out photo"):
        find_examples(tmp_path, ONTOLOGY, (str(tmp_path / "0000.png"),))


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(AutolabelError, match="does not exist"):
        find_examples(tmp_path / "none", ONTOLOGY, ())
    folder = sorted_crops(tmp_path / "crops")
    with pytest.raises(AutolabelError, match="a probe needs two names, one of them a class"):
        find_examples(folder, Ontology.from_prompts(["bird"]), ())
    (folder / "cat/0.png").write_bytes(b"not an image")
    with pytest.raises(AutolabelError, match=r"example .*0\.png is not usable"):
        find_examples(folder, ONTOLOGY, ()).embedded(Means(), 0.1)


@pytest.mark.parametrize("kind", ["logistic", "neighbours"])
def test_the_probe_vetoes_or_relabels(kind: str) -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([cloud(rng, 0, 8), cloud(rng, 1, 8), cloud(rng, 2, 8)])
    names = np.array(["cat"] * 8 + ["dog"] * 8 + ["junk"] * 8)
    examples = ExampleVectors.from_bytes(ExampleVectors(names, vectors).to_bytes())
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
