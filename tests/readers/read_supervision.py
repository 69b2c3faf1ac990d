from pathlib import Path

import supervision as sv
from common import row, tell


def datasets(format_name, folder, masks):
    """The data sets of the splits; VOC has one."""
    make = sv.DetectionDataset
    if format_name == "voc":
        lists = (folder / "ImageSets/Main").glob("*.txt")
        assert sum(len(f.read_text("utf-8").split("\n")) - 1 for f in lists) == 4
        yield make.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))
        return
    for images in sorted((folder / "images").iterdir()):
        split = images.name
        if format_name == "coco":
            file = str(folder / f"annotations/instances_{split}.json")
            yield make.from_coco(str(images), file, force_masks=masks)
        elif format_name == "yolo":
            labels, index = str(folder / "labels" / split), str(folder / "data.yaml")
            yield make.from_yolo(str(images), labels, index, force_masks=masks)
        else:
            yield make.from_labelme(str(images), str(images), force_masks=masks)


def read(format_name, folder, masks):
    names, found = [], {}
    for data in datasets(format_name, folder, masks):
        names = [name for name in data.classes if name not in names] + names
        for path, _, seen in data:
            rows = found.setdefault(Path(path).name, [])
            for i in range(len(seen)):
                mask = seen.mask[i] if masks else None
                rows.append(row(data.classes[seen.class_id[i]], seen.xyxy[i], mask))
    return names, found


tell(read)
