"""What the two small embedders' training scripts share: the loop, and how a model is written."""

from __future__ import annotations

import argparse
import copy
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bccd import LabelledPhoto, read_split
from embedder_crops import Bank, CropSampler
from transformers import PreTrainedModel

MEAN, STD = (0.66, 0.61, 0.64), (0.15, 0.15, 0.12)
WARMUP, WEIGHT_DECAY, AVERAGE_DECAY, CLIP_NORM = 100, 0.05, 0.998, 1.0


def parse_arguments(description: str, out: str, steps: int) -> argparse.Namespace:
    """The options of both scripts."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data_folder", type=Path, help="BCCD: images/, annotations_voc/, splits/")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--peak-rate", type=float, default=1.5e-3)
    parser.add_argument("--per-class", type=int, default=8000, help="good crops of each class")
    parser.add_argument("--per-bad", type=int, default=4000, help="bad crops of each kind")
    parser.add_argument(
        "--hold-out", type=int, default=40, help="last train photos, kept for the thresholds"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def read_photos(args: argparse.Namespace) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    """The `train` split's photos to learn from, and those held out."""
    photos = read_split(args.data_folder, "train")
    cut = len(photos) - args.hold_out
    return photos[:cut], photos[cut:]


def make_banks(args: argparse.Namespace, side: int) -> tuple[Bank, Bank]:
    """Crops to learn from, and a tenth as many of held-out photos to watch by."""
    learned, held_out = read_photos(args)
    bank = CropSampler(learned, side, args.seed).bank(args.per_class, args.per_bad)
    watched = CropSampler(held_out or learned, side, args.seed + 1)
    return bank, watched.bank(args.per_class // 10, args.per_bad // 10)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Colours in [0, 1] as the image processors give them to the models."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def train(
    model: PreTrainedModel,
    extra: list[torch.nn.Parameter],
    loss_of: Callable[[torch.Generator], torch.Tensor],
    watch: Callable[[PreTrainedModel], str],
    args: argparse.Namespace,
) -> tuple[PreTrainedModel, float]:
    """Run AdamW with a warm-up and a cosine to nought.

    Args:
        model: trained in place.
        extra: parameters that are trained with it and thrown away.
        loss_of: draws a batch with the generator and gives its loss.
        watch: one line on how the averaged model does.

    Returns:
        The running average of the weights, and the seconds that it took.
    """
    parameters = [*model.parameters(), *extra]
    decayed = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": rest}]
    optimizer = torch.optim.AdamW(groups, lr=args.peak_rate, betas=(0.9, 0.98), weight_decay=0.0)
    average = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(args.seed)
    started = time.perf_counter()
    for step in range(args.steps):
        rate = 0.5 * (1 + math.cos(math.pi * step / args.steps)) * min(1, (step + 1) / WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = args.peak_rate * rate
        loss = loss_of(generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()
        decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
        if (step + 1) % 100 == 0:
            seconds = time.perf_counter() - started
            line = watch(average) if (step + 1) % 500 == 0 or step + 1 == args.steps else ""
            print(step + 1, f"{seconds:.0f} s", f"loss {loss.item():.3f}", line, flush=True)
    return average, time.perf_counter() - started


def save(model: PreTrainedModel, processor: object, card: str, folder: Path) -> None:
    """Write a folder that `from_pretrained` reads, whole or not at all, and its size."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model.save_pretrained(part)
    processor.save_pretrained(part)
    (part / "MODEL_CARD.md").write_text(card)
    for file in part.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {model.num_parameters()} parameters, {size / 1e6:.2f} MB")


def command(script: str, args: argparse.Namespace) -> str:
    """The command that repeats a run, for the model card; this machine's paths are left out."""
    words = ["python", f"sample_models/{script}", "PATH/TO/bccd"]
    for name in ("steps", "batch", "peak_rate", "per_class", "per_bad", "hold_out", "seed"):
        words += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    return " ".join([*words, "--threads", str(args.threads)])
