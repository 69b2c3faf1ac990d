"""Most memory of each stage of configs/default.yaml on a CPU, with random weights of those sizes.

    PYTHONPATH=. python benchmarks/default_memory.py FOLDER

FOLDER gets 1.8 GB of checkpoints and a workspace of four photos of 640 × 480, and is kept: a second
run builds no checkpoints. Each stage is a process of its own; what is printed is its largest
resident set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from transformers import (
    BertTokenizerFast,
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    Dinov2Config,
    Dinov2Model,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
)

from tests.conftest import make_photos, save_random_detector
from tests.models.checkpoints import clip_tokenizer

PHOTOS = 4


def main() -> None:
    folder = Path(sys.argv[1])
    if not (folder / "photos").is_dir():
        build(folder)
        make_photos(folder / "photos", PHOTOS, (640, 480))
    table = Table("stage", "batch size", "GB", "s", title=f"{PHOTOS} photos of 640 × 480")
    for stage, size, arguments in stages(folder):
        megabytes, seconds = measured([stage, *arguments, "--batch-size", str(size)])
        table.add_row(stage, str(size), f"{megabytes / 1000:.1f}", f"{seconds:.0f}")
    Console().print(table)


def stages(folder: Path) -> list[tuple[str, int, list[str]]]:
    """Detect twice, in batches of one and of all, then the stages behind it.

    What the others work on are a few boxes of a small detector: the large one is not trained.
    """
    workspace = str(folder / "workspace")
    shutil.rmtree(workspace, ignore_errors=True)
    measured([
        "detect", str(folder / "photos"), "-w", workspace, "--model", str(folder / "small"),
        "--prompt", "cat", "--box-threshold", "0.1",
    ])  # fmt: skip
    large = ["--model", str(folder / "detector"), "--prompt", "cat", "--overwrite"]
    filters = ["--clip", str(folder / "clip"), "--dinov2", str(folder / "dinov2"), "--clip-class"]
    return [
        ("refine", 1, [workspace, "--model", str(folder / "sam"), "--overwrite"]),
        ("filter", 1, [workspace, *filters, "--dinov2-class", "1.2", "--overwrite"]),
        ("detect", 1, [workspace, *large]),
        ("detect", PHOTOS, [workspace, *large, "--box-threshold", "0.9"]),
    ]


def measured(arguments: list[str]) -> tuple[float, float]:
    """Most resident memory, MB, and seconds of one command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "autolabel", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"autolabel {' '.join(arguments)} failed")
    return usage.ru_maxrss / 1000, time.perf_counter() - start


def build(folder: Path) -> None:
    """Checkpoints of the published sizes, which the library's own defaults are."""
    torch.manual_seed(0)
    tokenizer = BertTokenizerFast.from_pretrained(save_random_detector(folder / "small"))
    GroundingDinoForObjectDetection(GroundingDinoConfig()).save_pretrained(folder / "detector")
    images = GroundingDinoImageProcessor()
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder / "detector")
    SamModel(SamConfig()).save_pretrained(folder / "sam")
    SamProcessor(SamImageProcessor()).save_pretrained(folder / "sam")
    CLIPModel(CLIPConfig()).save_pretrained(folder / "clip")
    CLIPProcessor(CLIPImageProcessor(), clip_tokenizer()).save_pretrained(folder / "clip")
    small = Dinov2Config(hidden_size=384, num_attention_heads=6, patch_size=14, image_size=518)
    Dinov2Model(small).save_pretrained(folder / "dinov2")
    cut = {"height": 224, "width": 224}
    BitImageProcessor(size={"shortest_edge": 256}, crop_size=cut).save_pretrained(folder / "dinov2")


if __name__ == "__main__":
    main()
