import logging

from common import row, tell
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset

logging.disable(logging.WARNING)
CALLED = {"coco": "coco_instances", "yolo": "yolo", "voc": "voc_detection", "cvat": "cvat"}


def read(format_name, folder, masks):
    data = Dataset.import_from(str(folder), CALLED[format_name])
    names = [one.name for one in data.categories()[AnnotationType.label]]
    found = {}
    for item in data:
        rows = found.setdefault(item.media.path.rsplit("/", 1)[-1], [])
        kind = AnnotationType.mask if masks else AnnotationType.bbox
        for one in (one for one in item.annotations if one.type == kind):
            x, y, w, h = one.get_bbox()
            mask = one.image if masks else None
            rows.append(row(names[one.label], [x, y, x + w, y + h], mask))
    return names, found


tell(read)
