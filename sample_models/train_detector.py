"""Train a small Grounding DINO from a random start on BCCD's hand labels (`train` split only).

    python sample_models/train_detector.py PATH/TO/bccd --out sample_data/models/detector

Nothing is learned or chosen from the `val` and `test` splits; `--measure` reads a folder of hand
labels after training, for the model card's figures alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from bccd import CLASSES, LabelledPhoto, read_split
from captions import CaptionSampler, build_tokenizer
from detector_loss import LEARNING, SETTLING, Target, detector_loss
from measure_detector import average_precision, find, measure
from model_card import write_card
from PIL import Image
from pycocotools.coco import COCO
from transformers import (
    BertConfig,
    ConvNextConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
)

SIZE_WH = (320, 240)
MEAN, STD = (0.66, 0.61, 0.64), (0.15, 0.15, 0.12)
#: A photo with fewer labelled red cells than this was not labelled to the end.
FULLY_LABELLED = 6
CLIP_NORM = 1.0
#: Last part of the run, in which the decoder's scores are brought down to true chances.
SETTLING_SHARE = 0.4
#: Last part of the run, in which photos are seen whole and upright or mirrored, as in use.
CLOSING_SHARE = 0.15
#: Share of the score losses; box losses carry their own factors.
SCORE_WEIGHT = 2.0


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the data."""

    steps: int
    batch: int
    peak_rate: float
    warmup: int
    weight_decay: float
    average_decay: float
    seed: int


def build_model(vocabulary_size: int) -> GroundingDinoForObjectDetection:
    """A genuine Grounding DINO with a ConvNeXt backbone, 1.8 M parameters, random weights."""
    backbone = ConvNextConfig(
        hidden_sizes=[32, 64, 112, 160],
        depths=[2, 2, 4, 2],
        layer_scale_init_value=0.0,
        drop_path_rate=0.0,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=64,
        num_feature_levels=3,
        num_queries=200,
        encoder_layers=1,
        encoder_n_points=2,
        encoder_ffn_dim=256,
        encoder_attention_heads=4,
        decoder_layers=3,
        decoder_ffn_dim=256,
        decoder_attention_heads=4,
        dropout=0.0,
        fusion_droppath=0.0,
        auxiliary_loss=True,
        disable_custom_kernels=True,
    )
    model = GroundingDinoForObjectDetection(config)
    share_queries(model)
    return model


def share_queries(model: GroundingDinoForObjectDetection) -> None:
    """Keep all query embeddings equal: a query is told apart by its proposal's place alone.

    They start equal and share one gradient, so every query learns from every object.
    """
    queries = model.model.query_position_embeddings.weight
    with torch.no_grad():
        queries.copy_(queries[:1].expand_as(queries).clone())
    queries.register_hook(lambda gradient: gradient.mean(0, keepdim=True).expand_as(gradient))


def load_photos(photos: list[LabelledPhoto]) -> list[Image.Image]:
    """Every photo decoded once and kept in memory."""
    return [Image.open(photo.path).convert("RGB") for photo in photos]


def augment(
    image: Image.Image, boxes_xyxy: np.ndarray, rng: np.random.Generator, whole: bool
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """A random view of a photo: turned, mirrored, cropped to `SIZE_WH`, recoloured.

    Returns pixels (3, H, W) normalised, boxes (N, 4) centre-size in 0..1 and which boxes stayed:
    those of which a third or more is in view. `whole` neither turns nor crops.
    """
    boxes = boxes_xyxy.astype(np.float64)
    scale = 1.0 if whole or rng.random() < 0.35 else float(rng.uniform(0.65, 1.0))
    if not whole and rng.random() < 0.25:
        scale = max(scale, 0.8)
        image = image.transpose(Image.Transpose.TRANSPOSE)
        boxes = boxes[:, [1, 0, 3, 2]]
    largest = min(image.width / SIZE_WH[0], image.height / SIZE_WH[1])
    width, height = (side * largest * scale for side in SIZE_WH)
    x, y = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    view = image.resize(SIZE_WH, Image.Resampling.BILINEAR, box=(x, y, x + width, y + height))
    boxes = (boxes - [x, y, x, y]) / [width, height, width, height]
    pixels = recolour(torch.from_numpy(np.asarray(view).copy()).permute(2, 0, 1) / 255.0, rng)
    for axis, dimension in ((0, 2), (1, 1)):
        if rng.random() < 0.5:
            pixels = pixels.flip(dimension)
            boxes[:, [axis, axis + 2]] = 1 - boxes[:, [axis + 2, axis]]
    inside = boxes.clip(0, 1)
    sides = inside[:, 2:] - inside[:, :2]
    seen = sides.prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = (seen > 0.34) & (sides > 0.02).all(1)
    centred = np.concatenate([(inside[:, :2] + inside[:, 2:]) / 2, sides], 1)
    return pixels, centred[kept], kept


def recolour(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Random gain per channel, contrast, brightness and saturation, then normalised."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, size=(3, 1, 1))
    pixels = pixels * torch.from_numpy(gain).float()
    middle = pixels.mean()
    pixels = (pixels - middle) * float(rng.uniform(0.75, 1.3)) + middle
    grey = pixels.mean(0, keepdim=True)
    pixels = grey + (pixels - grey) * float(rng.uniform(0.6, 1.4))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.clamp(0, 1) - mean) / std


class Batches:
    """Training batches that depend on the seed and the step alone, so that a run can resume."""

    def __init__(self, photos: list[LabelledPhoto], sampler: CaptionSampler, recipe: Recipe):
        self.photos, self.sampler, self.recipe = photos, sampler, recipe
        self.images = load_photos(photos)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Target]]:
        """Pixels (B, 3, H, W), token ids (B, T), their mask (B, T) and the targets of a step."""
        rng = np.random.default_rng([self.recipe.seed, step])
        whole = step >= (1 - CLOSING_SHARE) * self.recipe.steps
        views = [self._view(index, rng, whole) for index in self._indices(step)]
        pixels = torch.stack([pixels for pixels, _ in views])
        targets = [target for _, target in views]
        length = max(len(target.caption.ids) for target in targets)
        ids = torch.zeros(len(targets), length, dtype=torch.long)
        mask = torch.zeros(len(targets), length, dtype=torch.bool)
        for row, target in enumerate(targets):
            count = len(target.caption.ids)
            ids[row, :count] = torch.tensor(target.caption.ids)
            mask[row, :count] = True
        return pixels, ids, mask, targets

    def _indices(self, step: int) -> list[int]:
        """Photos of a step: every photo once in each pass, in a new order."""
        batch, count = self.recipe.batch, len(self.photos)
        orders, chosen = {}, []
        for position in range(step * batch, (step + 1) * batch):
            turn = position // count
            if turn not in orders:
                orders[turn] = np.random.default_rng([self.recipe.seed, 1 << 20, turn])
                orders[turn] = orders[turn].permutation(count)
            chosen.append(int(orders[turn][position % count]))
        return chosen

    def _view(
        self, index: int, rng: np.random.Generator, whole: bool
    ) -> tuple[torch.Tensor, Target]:
        photo = self.photos[index]
        boxes = np.asarray(photo.boxes_xyxy, dtype=np.float64).reshape(-1, 4)
        pixels, boxes, kept = augment(self.images[index], boxes, rng, whole)
        classes = torch.tensor(photo.classes, dtype=torch.long)[torch.from_numpy(kept)]
        unsure = (0,) if photo.classes.count(0) < FULLY_LABELLED else ()
        caption = self.sampler.draw(rng)
        return pixels, Target(torch.from_numpy(boxes).float(), classes, caption, unsure)


def build_optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; no decay on biases, norms and embeddings, a smaller rate for sampling offsets."""
    groups = {}
    for name, parameter in model.named_parameters():
        decay = parameter.ndim > 1 and "embed" not in name
        scale = 0.3 if "sampling_offsets" in name else 1.0
        groups.setdefault((decay, scale), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": p, "weight_decay": recipe.weight_decay if decay else 0.0, "scale": scale}
            for (decay, scale), p in groups.items()
        ],
        lr=recipe.peak_rate,
        betas=(0.9, 0.99),
        fused=True,
    )


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < recipe.warmup:
        return recipe.peak_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return recipe.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, decay: float) -> None:
    """Move the running average of the weights towards the model's."""
    pairs = zip(average.parameters(), model.parameters(), strict=True)
    old, new = zip(*pairs, strict=True)
    torch._foreach_lerp_(list(old), list(new), 1 - decay)


class Trainer:
    """Model, running average, optimizer and step: all that a checkpoint keeps."""

    def __init__(self, batches: Batches, vocabulary_size: int, recipe: Recipe):
        torch.manual_seed(recipe.seed)
        self.batches, self.recipe = batches, recipe
        self.model = build_model(vocabulary_size).train()
        self.average = copy.deepcopy(self.model).eval()
        self.optimizer = build_optimizer(self.model, recipe)
        self.step, self.seconds = 0, 0.0

    def train_step(self) -> dict[str, float]:
        """One update; returns the losses."""
        started = time.perf_counter()
        rate = learning_rate(self.step, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        pixels, ids, mask, targets = self.batches(self.step)
        outputs = self.model(pixel_values=pixels, input_ids=ids, attention_mask=mask)
        settling = self.step >= (1 - SETTLING_SHARE) * self.recipe.steps
        strictness = SETTLING if settling else LEARNING
        losses = detector_loss(self.model, outputs, mask, targets, SIZE_WH, strictness)
        total = sum(v * (SCORE_WEIGHT if "score" in k else 1.0) for k, v in losses.items())
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        decay = min(self.recipe.average_decay, (1 + self.step) / (10 + self.step))
        update_average(self.average, self.model, decay)
        self.seconds += time.perf_counter() - started
        return {name: value.item() for name, value in losses.items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint under a temporary name, then rename it."""
        state = {name: getattr(self, name).state_dict() for name in ("model", "average")}
        state |= {"optimizer": self.optimizer.state_dict()}
        state |= {"step": self.step, "seconds": self.seconds}
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        for name in ("model", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]


def build_processor(tokenizer: object) -> GroundingDinoProcessor:
    """The model's own image processor and tokenizer in one."""
    images = GroundingDinoImageProcessor(
        size={"shortest_edge": min(SIZE_WH), "longest_edge": max(SIZE_WH)},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer)


def export(trainer: Trainer, processor: GroundingDinoProcessor, folder: Path) -> None:
    """Write the averaged model as a folder that `from_pretrained` reads, whole or not at all."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    trainer.average.save_pretrained(part)
    processor.save_pretrained(part)
    for file in part.iterdir():
        file.chmod(0o644)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def watch(trainer: Trainer, processor: GroundingDinoProcessor, photos: list[LabelledPhoto]) -> str:
    """AP50 by class over held-out `train` photos, as one line."""
    rows = [
        {
            "id": 1000 * i + j + 1,
            "image_id": i + 1,
            "category_id": label + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for i, photo in enumerate(photos)
        for j, ((x1, y1, x2, y2), label) in enumerate(
            zip(photo.boxes_xyxy, photo.classes, strict=True)
        )
    ]
    truth = COCO()
    names = list(CLASSES.values())
    truth.dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(photos))],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": rows,
    }
    truth.createIndex()
    found = {
        i + 1: find(trainer.average, processor, image, names)
        for i, image in enumerate(load_photos(photos))
    }
    figures = average_precision(truth, found)
    return "held out: " + ", ".join(f"{k} AP50 {v['AP50']:.3f}" for k, v in figures.items())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_folder", type=Path, help="BCCD: images/, annotations_voc/, splits/")
    parser.add_argument("--out", type=Path, default=Path("sample_data/models/detector"))
    parser.add_argument("--measure", type=Path, help="hand labels for the model card's figures")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--peak-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--hold-out", type=int, default=0, help="train photos kept for watching")
    parser.add_argument("--checkpoint", type=Path, help="file to write to and to resume from")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    recipe = Recipe(args.steps, args.batch, args.peak_rate, 200, 0.02, 0.998, args.seed)
    photos = read_split(args.data_folder, "train")
    held_out, photos = photos[: args.hold_out], photos[args.hold_out :]
    tokenizer = build_tokenizer()
    processor = build_processor(tokenizer)
    batches = Batches(photos, CaptionSampler(tokenizer), recipe)
    trainer = Trainer(batches, len(tokenizer), recipe)
    if args.checkpoint and args.checkpoint.exists():
        trainer.load(args.checkpoint)
    print(f"{trainer.model.num_parameters()} parameters, {len(photos)} photos", flush=True)
    while trainer.step < recipe.steps:
        losses = trainer.train_step()
        if trainer.step % 50 == 0:
            rounded = {name: round(value, 3) for name, value in losses.items()}
            print(trainer.step, f"{trainer.seconds:.0f} s", json.dumps(rounded), flush=True)
        if trainer.step % args.every == 0 or trainer.step == recipe.steps:
            if args.checkpoint:
                trainer.save(args.checkpoint)
            if held_out:
                print(watch(trainer, processor, held_out), flush=True)
            export(trainer, processor, args.out)
            write_card(args.out, card_facts(trainer, args), None)
    if args.measure:
        write_card(args.out, card_facts(trainer, args), measure(args.out, args.measure))


def card_facts(trainer: Trainer, args: argparse.Namespace) -> dict[str, object]:
    """What the model card says of the training; this machine's paths are left out."""
    command = ["python", "sample_models/train_detector.py", "PATH/TO/bccd"]
    for name in ("steps", "batch", "peak_rate", "seed", "threads", "hold_out"):
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    return asdict(trainer.recipe) | {
        "parameters": trainer.model.num_parameters() / 1e6,
        "photos": len(trainer.batches.photos),
        "command": " ".join(command),
        "done": trainer.step,
        "width": SIZE_WH[0],
        "height": SIZE_WH[1],
        "minutes": trainer.seconds / 60,
        "threads": args.threads,
    }


if __name__ == "__main__":
    main()
