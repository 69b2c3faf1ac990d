import pandas as pd
from common import row, tell
from pycocotools import mask as rle


def read(format_name, folder, masks):
    found, names = {}, set()
    for file in sorted(folder.glob("images/*/_annotations.csv")):
        for one in pd.read_csv(file, keep_default_na=False).to_dict("records"):
            rows = found.setdefault(one["filename"], [])
            if one["class"] == "":
                continue  # an image without objects
            mask = None
            if masks:
                counts = one["mask"].removeprefix("rle:").encode()
                mask = rle.decode({"size": [one["height"], one["width"]], "counts": counts})
            names.add(one["class"])
            box = [one[key] for key in ("xmin", "ymin", "xmax", "ymax")]
            rows.append(row(one["class"], box, mask))
    return sorted(names), found


tell(read)
