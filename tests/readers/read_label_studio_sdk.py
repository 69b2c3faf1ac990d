import json

import numpy as np
from common import row, tell
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface


def read(format_name, folder, masks):
    config = LabelInterface((folder / "config.xml").read_text("utf-8"))
    names = [name for control in config.controls for name in control.labels]
    found = {}
    for task in json.loads((folder / "tasks.json").read_text("utf-8")):
        rows = found.setdefault(task["data"]["image"].rsplit("/", 1)[-1], [])
        for prediction in task["predictions"]:
            config.validate_prediction(prediction)
            for one in prediction["result"]:
                value, kind = one["value"], one["type"]
                width, height = one["original_width"], one["original_height"]
                if kind == "brushlabels":
                    mask = np.reshape(decode_rle(value["rle"]), (height, width, 4))[:, :, 3] > 127
                    ys, xs = np.nonzero(mask)
                    box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                else:
                    mask = None
                    x, y = value["x"] * width / 100, value["y"] * height / 100
                    box = [
                        x,
                        y,
                        x + value["width"] * width / 100,
                        y + value["height"] * height / 100,
                    ]
                rows.append(row(value[kind][0], box, mask if masks else None))
    return list(dict.fromkeys(names)), found


tell(read)
