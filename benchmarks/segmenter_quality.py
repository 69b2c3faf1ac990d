"""Mean IoU of masks made from boxes on the held-out nuclei: no model, GrabCut, and a segmenter.

    python benchmarks/segmenter_quality.py PATH/TO/nuclei [--model sample_data/models/segmenter]

GrabCut takes part where OpenCV is installed (`pip install opencv-python-headless`).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]
sys.path.insert(0, str(REPO / "training"))

from measure_segmenter import JITTER, USED, Ours, ellipse, fill_box, grabcut, ious  # noqa: E402
from nuclei import read_nuclei  # noqa: E402


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=str(REPO / "sample_data/models/segmenter"))
    args = parser.parse_args()
    _, images = read_nuclei(args.data)
    methods = {"fill the box": fill_box, "inscribed ellipse": ellipse}
    if importlib.util.find_spec("cv2"):
        methods["GrabCut"] = grabcut
    methods["model, best of three"] = Ours(args.model)
    methods["model, single mask"] = Ours(args.model, multimask=False)
    methods["model, cleaned"] = Ours(args.model, **USED)
    count = sum(len(image.boxes_xyxy) for image in images)
    print(f"mean IoU over {count} nuclei in {len(images)} held-out images\n")
    print(f"{'':24}{'true boxes':>12}{f'jittered {JITTER:.0%}':>16}")
    for name, method in methods.items():
        true, moved = (ious(method, images, jitter).mean() for jitter in (0.0, JITTER))
        print(f"{name:24}{true:12.3f}{moved:16.3f}", flush=True)


if __name__ == "__main__":
    main()
