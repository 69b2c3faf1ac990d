import numpy as np
from common import row, tell
from labelme._label_file import read_label_file
from labelme.utils.shape import shapes_to_label
from PIL import Image


def read(format_name, folder, masks):
    names = (folder / "labels.txt").read_text("utf-8").splitlines()
    found = {}
    for file in sorted(folder.glob("images/*/*.json")):
        data = read_label_file(str(file))
        with Image.open(file.parent / data.image_path) as image:
            size = (image.height, image.width)
        rows = found.setdefault(data.image_path, [])
        groups = {}
        for i, shape in enumerate(data.shapes):
            key = (shape["label"], shape["group_id"]) if shape["group_id"] is not None else i
            groups.setdefault(key, []).append(shape)
        for shapes in groups.values():
            points = np.concatenate([shape["points"] for shape in shapes])
            box = [*points.min(axis=0), *points.max(axis=0)]
            _, instances = shapes_to_label(size, shapes, {shapes[0]["label"]: 1})
            rows.append(row(shapes[0]["label"], box, instances > 0 if masks else None))
    return names, found


tell(read)
