"""Write the training photos that the small embedders did not learn from, with their hand labels.

    python sample_models/held_out_photos.py PATH/TO/bccd --out FOLDER

The demo's filter thresholds were chosen on these (`benchmarks/filter_errors.py --truth FOLDER`), so
that the validation photos decide nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bccd import read_split
from make_sample_data import copy_photos, to_coco


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_folder", type=Path, help="BCCD: images/, annotations_voc/, splits/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hold-out", type=int, default=40, help="last photos of the train split")
    args = parser.parse_args()
    photos = read_split(args.data_folder, "train")[-args.hold_out :]
    copy_photos(photos, args.out)
    (args.out / "annotations.json").write_text(json.dumps(to_coco(photos), indent=1) + "\n")
    print(f"{len(photos)} photos, {sum(len(p.classes) for p in photos)} labels -> {args.out}")


if __name__ == "__main__":
    main()
