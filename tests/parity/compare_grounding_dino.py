"""Original Grounding DINO against its conversion, at full size, with random weights.

Makes an environment of its own for the original package, runs pictures and captions through it
(`reference.py`), runs the same through `autolabel`, and prints the largest differences:

    python tests/parity/compare_grounding_dino.py --folder FOLDER

See the README beside it. Exit status 1 where a difference is over `TOLERANCE`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

HERE = Path(__file__).parent
REPO = HERE.parents[1]
PACKAGES = ("groundingdino-py==0.4.0", "transformers==4.57.6", "torch", "torchvision")
TOLERANCE = 1e-4
PROMPTS = (
    ("red blood cell", "white blood cell", "platelet"),
    ("a cat",),
    ("person sitting on chair", "bicycle", "helmet"),
)
SAMPLES = sorted((REPO / "sample_data/blood_cells/validation").rglob("*.jpg"))[:3]
MADE_SIZES_WH = ((640, 480), (900, 360))
GOLDEN = REPO / "tests/models/data/grounding_dino_original.npz"


def environment(folder: Path) -> Path:
    """The interpreter of an environment with the original package, made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def pictures(folder: Path) -> list[Path]:
    """Three photos of the sample and two made pictures, one of them wide."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for i, size in enumerate(MADE_SIZES_WH):
        coarse = np.random.RandomState(i).randint(0, 256, (12, 16, 3)).astype(np.uint8)
        made.append(folder / f"random-{i}.png")
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(made[-1])
    return [*SAMPLES, *made]


def reference(python: Path, *arguments: object) -> None:
    """Run the original in its environment."""
    command = [python, "-W", "ignore", HERE / "reference.py", *arguments]
    subprocess.run([str(part) for part in command], check=True)


def converted(path: Path, folder: Path) -> Any:
    """Our adapter of an original file; conversion refuses missing and left-over weights."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from autolabel import registry

    start = time.monotonic()
    adapter = registry.load(registry.locate("detector", str(path)), "cpu")
    count = sum(p.numel() for p in adapter.model.parameters())
    print(f"{path.name}: {count / 1e6:.1f} M parameters in {time.monotonic() - start:.0f} s")
    return adapter


def forward(
    adapter: Any,
    inputs: dict[str, torch.Tensor],
    prompts: tuple[str, ...],
    places: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits (queries, 256) and boxes (queries, 4) of the converted model.

    A model takes the places of highest score for its queries, in that order, and of 900 among some
    20,000 a few are so close that the last bit decides. There the original's order is taken, where
    the scores in that order fall by no more than rounding anywhere; a row is then the same query.
    """
    from autolabel.ontology import Ontology

    (one,) = adapter.passes(Ontology.from_prompts(list(prompts)))
    ids = one.input_ids[None]
    topk = torch.topk

    def same_order(scores: torch.Tensor, k: int, **rest: Any) -> Any:
        best, own = topk(scores, k, **rest)
        theirs = torch.from_numpy(places)[None]
        gap = float((scores.gather(1, theirs) - best).abs().max())
        moved = int((own != theirs).sum())
        if moved and gap <= TOLERANCE:
            print(f"  {moved} of {k} queries in another order, of scores {gap:.1e} apart")
            return scores.gather(1, theirs), theirs
        return best, own

    torch.topk = same_order
    try:
        with torch.inference_mode():
            out = adapter.model(**inputs, input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        torch.topk = topk
    return out.logits[0].numpy(), out.pred_boxes[0].numpy()


def prepared(adapter: Any, path: Path) -> dict[str, torch.Tensor]:
    """Pixels and their mask as our adapter prepares them."""
    rgb = np.array(Image.open(path).convert("RGB"))
    prepare = adapter.processor.image_processor
    return dict(prepare(images=[rgb], input_data_format="channels_last", return_tensors="pt"))


def compare(adapter: Any, path: Path, saved: Any, own_pixels: bool) -> list[float]:
    """Print a line for each caption of one image; the largest differences on the same pixels."""
    theirs = torch.from_numpy(saved["pixels"])[None]
    own = prepared(adapter, path)
    same_size = own["pixel_values"].shape == theirs.shape
    gap = float((own["pixel_values"] - theirs).abs().max()) if same_size else float("nan")
    print(f"{path.name} {list(theirs.shape[2:])}, ours {list(own['pixel_values'].shape[2:])}")
    print(f"  prepared pixels differ by {gap:.1e} at most")
    worst = []
    for j, prompts in enumerate(PROMPTS):
        logits, boxes = saved[f"logits-{j}"], saved[f"boxes-{j}"]
        places = saved[f"places-{j}"]
        mine = forward(adapter, {"pixel_values": theirs}, prompts, places)
        worst.append(report("same pixels", prompts, mine, (logits, boxes)))
        if own_pixels and same_size:
            report("own pixels ", prompts, forward(adapter, own, prompts, places), (logits, boxes))
    return worst


def report(what: str, prompts: tuple[str, ...], mine: Any, theirs: Any) -> float:
    """Print one comparison; the largest difference of logits, scores and boxes."""
    real = np.isfinite(theirs[0])
    if not np.array_equal(real, np.isfinite(mine[0])):
        print(f"  {what} {'. '.join(prompts)}: other tokens are masked")
        return float("inf")
    logits = np.abs(mine[0][real] - theirs[0][real]).max()
    scores = np.abs(sigmoid(mine[0][real]) - sigmoid(theirs[0][real])).max()
    boxes = np.abs(mine[1] - theirs[1]).max()
    print(
        f"  {what} {'. '.join(prompts)[:28]:28}: logits {logits:.1e} (deviation "
        f"{theirs[0][real].std():.2f}), scores {scores:.1e}, boxes {boxes:.1e} (deviation "
        f"{theirs[1].std():.2f})",
        flush=True,
    )
    return float(max(logits, scores, boxes))


def sigmoid(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scores in [0, 1]."""
    return 0.5 * (1 + np.tanh(logits / 2))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="about 10 GB go here")
    parser.add_argument("--env", type=Path, help="environment of the original (FOLDER/env)")
    parser.add_argument("--kinds", nargs="+", default=["swin-t", "swin-b"])
    parser.add_argument("--reuse", action="store_true", help="take what the original gave before")
    parser.add_argument("--own-pixels", action="store_true", help="also on what we prepare")
    parser.add_argument("--write-golden", action="store_true", help=f"write {GOLDEN.name} and end")
    options = parser.parse_args()
    folder = options.folder.resolve()
    python = environment(options.env or folder / "env")
    if options.write_golden:
        reference(python, "--kind", "small", "--folder", folder / "small", "--golden", GOLDEN)
        return 0
    images, worst = pictures(folder), 0.0
    captions = [". ".join(prompts) for prompts in PROMPTS]
    for kind in options.kinds:
        shown = images if kind == "swin-t" else []  # the other: the conversion is the test
        if not options.reuse:
            arguments = ["--images", *shown, "--captions", *captions]
            reference(python, "--kind", kind, "--folder", folder, *arguments)
        adapter = converted(folder / f"{kind}.pth", folder)
        for i, path in enumerate(shown):
            saved = np.load(folder / f"original-{i}.npz")
            worst = max(worst, *compare(adapter, path, saved, options.own_pixels))
    print(f"largest difference on the same pixels: {worst:.1e} (at most {TOLERANCE:.0e})")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
