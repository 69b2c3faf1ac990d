from pathlib import Path

import fiftyone as fo
import numpy as np
from common import row, tell
from PIL import Image

fo.config.show_progress_bars = False


def datasets(format_name, folder, masks):
    """The data sets, and in which field their objects are."""
    load, types, images = fo.Dataset.from_dir, fo.types, folder / "images"
    if format_name == "fiftyone":
        yield load(str(folder), types.FiftyOneDataset), "autolabel"
    elif format_name == "voc":
        where = {
            "data_path": str(folder / "JPEGImages"),
            "labels_path": str(folder / "Annotations"),
        }
        yield load(dataset_type=types.VOCDetectionDataset, **where), "ground_truth"
    elif format_name == "cvat":
        where = {"data_path": str(images), "labels_path": str(folder / "annotations.xml")}
        yield load(dataset_type=types.CVATImageDataset, **where), "detections"
    elif format_name == "yolo":
        for split in ("train", "val", "test"):
            data = load(str(folder), types.YOLOv5Dataset, yaml_path="data.yaml", split=split)
            yield data, "ground_truth"
    else:
        kind = "segmentations" if masks else "detections"
        for split in ("train", "val", "test"):
            labels = str(folder / f"annotations/instances_{split}.json")
            where = {"data_path": str(images / split), "labels_path": labels, "label_types": kind}
            yield load(dataset_type=types.COCODetectionDataset, **where), "ground_truth"


def read(format_name, folder, masks):
    found, names = {}, []
    for data, field in datasets(format_name, folder, masks):
        names += [name for name in data.default_classes if name not in names]
        for sample in data:
            with Image.open(sample.filepath) as image:
                width, height = image.size
            rows = found.setdefault(Path(sample.filepath).name, [])
            objects = getattr(sample, field, None) if data.has_field(field) else None
            for one in getattr(objects, "detections", None) or []:
                x, y, w, h = np.array(one.bounding_box) * [width, height, width, height]
                mask = None
                if masks:
                    mask = one.to_segmentation(frame_size=(width, height), target=1).mask > 0
                rows.append(row(one.label, [x, y, x + w, y + h], mask))
        data.delete()
    used = {row[0] for rows in found.values() for row in rows}
    return names or sorted(used), found


tell(read)
