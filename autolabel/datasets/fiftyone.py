"""FiftyOne's own dataset format, written so that one call reads it, splits, scores and masks:

    fiftyone.Dataset.from_dir(dataset_dir=OUT, dataset_type=fiftyone.types.FiftyOneDataset)

https://docs.voxel51.com/user_guide/export_datasets.html#fiftyonedataset. Its COCO importer keeps
boxes and masks apart and loses the boxes that have no mask; its simpler formats hold no masks.

`samples.json` holds what FiftyOne keeps in its database, and `metadata.json` the fields of that. It
is the schema of version 1.0; later ones migrate it when they read it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.datasets import base
from autolabel.datasets.labelled import class_ids, loose_boxes, plain_score
from autolabel.ops.arrays import Bools
from autolabel.ops.masks import crop_of
from autolabel.types import Record

FIELD = "autolabel"
"""The field that holds the objects of an image."""

_VERSION = "1.0.0"
_MORE_PX = 1e-6
_METADATA, _SAMPLES = "metadata.json", "samples.json"
_FIELDS = "fiftyone.core.fields"
_EMBEDDED = "EmbeddedDocumentField"


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write the samples, a line each, and what fields they have; the split is a tag."""
    with (folder / _SAMPLES).open("w", encoding="ascii", newline="\n") as stream:
        stream.write('{"samples": [')
        samples = (_sample(i, split, options) for split, images in splits.items() for i in images)
        for n, sample in enumerate(samples):
            stream.write((",\n" if n else "\n") + json.dumps(sample))
        stream.write("\n]}\n")
    text = json.dumps(_metadata(options.names), indent=1)
    (folder / _METADATA).write_text(text + "\n", "ascii", newline="\n")
    done = base.Written([_METADATA, _SAMPLES])
    for record in (image.record for images in splits.values() for image in images):
        loose = loose_boxes(record.objects.kept, record.height, record.width)
        done.lost["boxes"] += loose if options.masks else 0
    return done


def _sample(image: base.ExportImage, split: str, options: base.WriteOptions) -> dict[str, Any]:
    key, record = _id(image.path), image.record
    size = {"width": record.width, "height": record.height}
    return {
        "_id": {"$oid": key},
        "filepath": image.path,
        "tags": [split],
        "metadata": {"_cls": "ImageMetadata", **size},
        "_media_type": "image",
        "_rand": int(key[:8], 16) / 2**32,
        FIELD: {"_cls": "Detections", "detections": list(_detections(image.path, record, options))},
    }


def _id(text: str) -> str:
    """Return an id as of MongoDB, the same whenever it is written again."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _detections(path: str, record: Record, options: base.WriteOptions) -> Iterator[dict[str, Any]]:
    kept = record.objects.kept
    class_ids(kept, options.names)
    for i, counts in enumerate(kept.mask):
        x1, y1, x2, y2 = kept.xyxy[i].astype(np.float64).tolist()
        mask = {}
        if options.masks and counts is not None:
            crop, top, left = crop_of(counts, record.height, record.width)
            if crop.size:
                # FiftyOne stretches the mask over the box, so the box is the mask's own; the part
                # of a pixel more is for its rounding, which is down.
                x1, y1 = left + _MORE_PX, top + _MORE_PX
                x2, y2 = x1 + crop.shape[1], y1 + crop.shape[0]
                mask = {"mask": {"$binary": {"base64": packed(crop), "subType": "00"}}}
        sizes = [record.width, record.height] * 2
        box = np.array([x1, y1, x2 - x1, y2 - y1]) / sizes
        correction = kept.correction[i]
        yield {
            "_id": {"$oid": _id(f"{path}\n{i}")},
            "_cls": "Detection",
            "attributes": {},
            "tags": [] if correction is None else [correction.action],
            "label": str(kept.label[i]),
            "bounding_box": np.round(box, 12).tolist(),
            "confidence": plain_score(kept.score[i]),
            **mask,
        }


def packed(mask: Bools) -> str:
    """Return an array as FiftyOne keeps it: `numpy.save`, zlib, base64.

    >>> data = zlib.decompress(base64.b64decode(packed(np.eye(2, dtype=bool))))
    >>> np.load(io.BytesIO(data)).astype(int).tolist()
    [[1, 0], [0, 1]]
    """
    stream = io.BytesIO()
    np.save(stream, mask, allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue())).decode("ascii")


def _metadata(names: Sequence[str]) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "media_type": "image",
        "info": {"made_by": "autolabel"},
        "classes": {FIELD: list(names)},
        "default_classes": list(names),
        "sample_fields": _sample_fields(),
        "frame_fields": [],
        "app_config": {},
    }


def _sample_fields() -> list[dict[str, Any]]:
    detection = [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("tags", "ListField", "StringField"),
        _field("attributes", "DictField", _EMBEDDED, "fiftyone.core.labels.Attribute"),
        _field("label", "StringField"),
        _field("bounding_box", "ListField", "FloatField"),
        _field("mask", "ArrayField"),
        _field("mask_path", "StringField"),
        _field("confidence", "FloatField"),
        _field("index", "IntField"),
    ]
    kind = "fiftyone.core.labels.Detection"
    detections = _field("detections", "ListField", _EMBEDDED, kind, detection)
    metadata = [
        _field(name, "StringField" if name == "mime_type" else "IntField")
        for name in ("size_bytes", "mime_type", "width", "height", "num_channels")
    ]
    return [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", "StringField"),
        _field("metadata", _EMBEDDED, None, "fiftyone.core.metadata.ImageMetadata", metadata),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        _field(FIELD, _EMBEDDED, None, "fiftyone.core.labels.Detections", [detections]),
    ]


def _field(
    name: str,
    kind: str,
    of: str | None = None,
    document: str | None = None,
    fields: Sequence[dict[str, Any]] = (),
    *,
    db_field: str | None = None,
    read_only: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{_FIELDS}.{kind}",
        "embedded_doc_type": document,
        "subfield": of and f"{_FIELDS}.{of}",
        "fields": list(fields),
        "db_field": db_field or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": None,
    }


_CARRIES = base.Carries(masks=True, holes=True, scores=True)
_SIGNED = base.Signature(re.compile(rb'"made_by"\s*:\s*"autolabel"'), '"info" in {}')
FIFTYONE = base.Format(
    "FiftyOne",
    writer=base.Writer(
        ("data/", _METADATA, _SAMPLES),
        write,
        _CARRIES,
        images="data/{split}",
        heads=(_METADATA,),
        signature=_SIGNED,
    ),
)
