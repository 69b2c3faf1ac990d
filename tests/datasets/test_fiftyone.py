from __future__ import annotations

import base64
import io
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.types import Correction, Objects
from tests.datasets.conftest import HEIGHT, ODD, WIDTH, Fixture, ring_and_disc


def samples(made: Fixture) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((made.out / "samples.json").read_text())["samples"]
    return found


def box_of(detection: dict[str, Any]) -> npt.NDArray[np.float64]:
    x, y, w, h = np.array(detection["bounding_box"]) * ([WIDTH, HEIGHT] * 2)
    return np.array([x, y, x + w, y + h])


def mask_of(detection: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """The mask in its image: FiftyOne lays it over the box."""
    data = base64.b64decode(detection["mask"]["$binary"]["base64"])
    crop = np.load(io.BytesIO(zlib.decompress(data)))
    x1, y1, x2, y2 = np.rint(box_of(detection)).astype(int)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = crop  # of the same size, or this fails
    return mask


def test_boxes_scores_and_splits(made: Fixture) -> None:
    done = made.export("fiftyone", val_share=0.4)
    assert (done.objects, done.lost) == (8, {"rejected": 4})
    found = samples(made)
    assert sorted(tag for sample in found for tag in sample["tags"]) == ["train"] * 3 + ["val"] * 2
    for sample in found:
        assert (made.out / sample["filepath"]).is_file()
        assert sample["filepath"].split("/")[:2] == ["data", *sample["tags"]]
        detections = sample["autolabel"]["detections"]
        if sample["filepath"].endswith("0004.png"):
            assert detections == []
            continue
        assert [(d["label"], d["confidence"]) for d in detections] == [("dog", 0.35), ("cat", 0.9)]
        np.testing.assert_allclose([box_of(d) for d in detections], ODD, atol=1e-4)
    ids = [d["_id"]["$oid"] for s in found for d in [s, *s["autolabel"]["detections"]]]
    assert len({i for i in ids if len(i) == 24}) == len(ids) == 13


def test_masks_to_the_pixel(masked: Fixture) -> None:
    masked.export("fiftyone")
    ring, disc, box = samples(masked)[0]["autolabel"]["detections"]
    np.testing.assert_array_equal([mask_of(ring), mask_of(disc)], ring_and_disc())
    assert "mask" not in box


def test_what_people_did_is_a_tag_of_the_object(made: Fixture) -> None:
    one = Objects.create(["cat"], [1], [[1, 1, 5, 5]], correction=[Correction("moved", "ann")])
    made.write(replace(made.records[0], objects=one))
    made.export("fiftyone")
    assert samples(made)[0]["autolabel"]["detections"][0]["tags"] == ["moved"]


def test_the_fields_are_named_as_in_the_samples(made: Fixture) -> None:
    made.export("fiftyone")
    metadata = json.loads((made.out / "metadata.json").read_text())
    fields = {field["db_field"]: field for field in metadata["sample_fields"]}
    assert set(samples(made)[0]) <= set(fields)
    (detections,) = fields["autolabel"]["fields"]
    known = {field["db_field"] for field in detections["fields"]}
    found = [d for s in samples(made) for d in s["autolabel"]["detections"]]
    assert {key for d in found for key in d} - {"_cls"} <= known
    assert metadata["default_classes"] == ["cat", "dog"]
