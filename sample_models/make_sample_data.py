"""Build `sample_data/blood_cells/` from the BCCD photos.

    python sample_models/make_sample_data.py PATH/TO/bccd [--out sample_data]

`unlabeled/` gets the photos of the `val` split without labels, `validation/` those of the `test`
split with their hand labels as COCO (`annotations.json`). JPEG bytes are copied untouched. The hand
labels of the `val` split go to `reference.json`, away from the photos: nothing in the pipeline
reads them but `evaluate --reference`, which says what labelling by machine costs.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bccd import CLASSES, LabelledPhoto, read_split

SOURCE = """\
BCCD (blood cell count and detection) photos and hand labels

repository: https://github.com/Shenggan/BCCD_Dataset
commit:     d272fb14cdff6e473fafeeeba32aba5f560e9e43 (2019-11-21)
licence:    MIT (LICENSE, beside this file)
credits:    the repository credits cosmicad/dataset and akshaylamba/all_CELL_data

unlabeled/      the {unlabeled} photos of the source's `val` split, without labels
reference.json  the source's Pascal VOC hand labels of those photos, converted to COCO; only
                `evaluate --reference` reads them, to say what labelling by machine costs
validation/     the {validation} photos of the source's `test` split; annotations.json is their hand
                labels, converted in the same way

The JPEG files are the source's, byte for byte.

What was changed in the labels: classes renamed (RBC: red blood cell, WBC: white blood cell,
Platelets: platelet), boxes from 1-based inclusive corners to 0-based x, y, width, height, and
{degenerate} degenerate box(es) of these two splits left out. No box was moved or added.
Red blood cells are labelled incompletely in part of the source's photos.

Made by sample_models/make_sample_data.py.
"""


def to_coco(photos: Sequence[LabelledPhoto], split: str, folder: str = "") -> dict:
    """COCO instances of hand labels; every id counts from 1, boxes are x, y, width, height."""
    images, annotations = [], []
    for image_id, photo in enumerate(photos, start=1):
        width, height = photo.size_wh
        images.append(
            {
                "id": image_id,
                "file_name": f"{folder}{photo.path.name}",
                "width": width,
                "height": height,
            }
        )
        for (x1, y1, x2, y2), label in zip(photo.boxes_xyxy, photo.classes, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES.values(), start=1)]
    return {
        "info": {"description": f"BCCD {split} split, hand labels (MIT, see SOURCE.txt)"},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def write_json(path: Path, coco: dict) -> None:
    path.write_text(json.dumps(coco, indent=1) + "\n")


def copy_photos(photos: Sequence[LabelledPhoto], folder: Path) -> None:
    """Copy the JPEG files, byte for byte, into a folder that is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for photo in photos:
        shutil.copyfile(photo.path, folder / photo.path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_folder", type=Path, help="folder of images/, annotations_voc/ …")
    parser.add_argument("--out", type=Path, default=Path("sample_data"))
    args = parser.parse_args()
    home = args.out / "blood_cells"
    unlabeled = read_split(args.data_folder, "val")
    validation = read_split(args.data_folder, "test")
    copy_photos(unlabeled, home / "unlabeled")
    copy_photos(validation, home / "validation")
    coco = to_coco(validation, "test")
    write_json(home / "validation" / "annotations.json", coco)
    write_json(home / "reference.json", to_coco(unlabeled, "val", "unlabeled/"))
    shutil.copyfile(args.data_folder / "LICENSE", home / "LICENSE")
    degenerate = sum(photo.degenerate for photo in [*unlabeled, *validation])
    (home / "SOURCE.txt").write_text(
        SOURCE.format(unlabeled=len(unlabeled), validation=len(validation), degenerate=degenerate)
    )
    in_source = degenerate + sum(p.degenerate for p in read_split(args.data_folder, "train"))
    print(f"unlabeled: {len(unlabeled)} photos")
    print(f"validation: {len(validation)} photos, {len(coco['annotations'])} boxes")
    print(f"degenerate boxes: {degenerate} dropped here, {in_source} in the whole source")


if __name__ == "__main__":
    main()
