from pathlib import Path

import numpy as np
from common import filled, row, tell
from ultralytics.cfg import get_cfg
from ultralytics.data.build import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset


def read(format_name, folder, masks):
    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    config, found = get_cfg(overrides={"task": "segment" if masks else "detect"}), {}
    for split in ("train", "val", "test"):
        if not data.get(split):
            continue
        for label in build_yolo_dataset(config, data[split], 1, data, mode="val").labels:
            rows = found.setdefault(Path(label["im_file"]).name, [])
            height, width = label["shape"]
            boxes = label["bboxes"] * [width, height, width, height]
            for i, (cx, cy, w, h) in enumerate(boxes):
                mask = None
                if masks:
                    mask = filled([label["segments"][i] * [width, height]], height, width)
                box = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                rows.append(row(data["names"][int(label["cls"][i, 0])], box, mask))
    return data["names"].values(), found


tell(read)
