"""Datasets: hand labels are read, auto labels are written, in formats that others read too.

- `base`, `formats`: what a format is, and the table; one file for each: `coco`, `yolo`, `voc`
- reading: `ground_truth`, with `labelled` and `files` below it; `held_out`
- writing: `export`, with `task`, `split`, `names` and `images`; `publisher` puts it in place

Boxes and names are converted in the formats and nowhere else; inside autolabel they are `Objects`.
"""
