"""Train a small SAM from a random start on hand-drawn nuclei, prompted by boxes.

    python sample_models/train_segmenter.py PATH/TO/nuclei --out sample_data/models/segmenter

One image in five (`nuclei_split.txt`) is held out: nothing is learned or chosen from those. After
training they give the model card its figures.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measure_segmenter import measure
from nuclei import Nuclei, read_nuclei
from nuclei_views import SIDE, View, draw_view
from segmenter_card import write_card
from segmenter_loss import decode_all, near_boxes, segmenter_loss
from torch import nn
from transformers import (
    SamConfig,
    SamImageProcessor,
    SamMaskDecoderConfig,
    SamModel,
    SamProcessor,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

#: Masks come out at a quarter of a patch: two pixels of the 384, one and a third of a nuclei image.
PATCH, WIDTH, CHANNELS, STRIDE = 8, 64, 64, 2
#: Black stays zero, so that a dim picture differs from a bright one by a factor alone.
MEAN, STD = (0.0, 0.0, 0.0), (0.2, 0.2, 0.2)
CLIP_NORM = 1.0
#: Tokens on a side of the windows in which boxes are decoded while training, and how many boxes an
#: image then gives. A window costs a quarter of the image; whole images come at the end, as in use.
WINDOW, WINDOW_BOXES, WHOLE_BOXES = 24, 20, 8
CLOSING_SHARE = 0.12
JITTER = 0.15
#: Steps between which what lies far from a box comes to count, and those between which other looks
#: than the nuclei's come into play. With either from the start, thousands of boxes teach nothing.
FAR, LOOKS = (30, 150), (150, 400)


@dataclass(frozen=True)
class Mix:
    """What a cycle is like.

    `variety`, `own_size` and `looks` are shares of the views, see `draw_view`, `exact` is the share
    of the images whose boxes are not jittered.
    """

    peak_rate: float
    variety: float
    own_size: float
    looks: tuple[float, float]
    exact: float


#: What each cycle is like: everything at first, later closer to use.
MIXES = (
    Mix(2e-3, 1.0, 0.5, (0.45, 0.3), 0.25),
    Mix(1.5e-3, 0.5, 0.7, (0.45, 0.3), 0.4),
    Mix(1.5e-3, 0.6, 0.6, (0.35, 0.45), 0.5),
)


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, apart from the data; `steps` are those of each cycle."""

    steps: tuple[int, ...]
    batch: int
    warmup: int
    weight_decay: float
    average_decay: float
    seed: int


def build_model() -> SamModel:
    """A genuine SAM of half a million parameters with random weights."""
    vision = SamVisionConfig(
        hidden_size=WIDTH,
        output_channels=CHANNELS,
        num_hidden_layers=4,
        num_attention_heads=4,
        mlp_ratio=3.0,
        image_size=SIDE,
        patch_size=PATCH,
        window_size=12,
        global_attn_indexes=[],
        # Half the prompt encoder's width: sine and cosine of each make up one embedding.
        num_pos_feats=CHANNELS // 2,
        # Windows have positions of their own; without absolute ones a place is as good as another.
        use_abs_pos=False,
        initializer_range=0.02,
    )
    prompts = SamPromptEncoderConfig(hidden_size=CHANNELS, image_size=SIDE, patch_size=PATCH)
    decoder = SamMaskDecoderConfig(
        hidden_size=CHANNELS,
        mlp_dim=128,
        # One head for each axis, see `start_with_sides`.
        num_attention_heads=2,
        iou_head_hidden_dim=64,
    )
    model = SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    )
    # The library starts every weight within 0.02, which suits a width of 768; at 32 to 64, signals
    # fade in a few layers and nothing is learned. PyTorch's own start goes by each layer's width.
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            module.reset_parameters()
    start_with_sides(model)
    return model


def start_with_sides(model: SamModel) -> None:
    """Let image tokens start out knowing on which side of a box's corners they lie.

    Left to chance, that takes longer to learn than all the rest. Half of the position's waves run
    along x and half along y, from twice the image's side down to 24 pixels. Over waves with evenly
    spaced logarithms the sum of sin(f * (x - corner)) is nearly a step at the corner, and a product
    of queries and keys is such a sum; so one head of the decoder's attention from image to prompt
    starts as a step along x, the other along y. What else is in the tokens starts small beside it.
    """
    waves = CHANNELS // 4
    lengths = torch.logspace(math.log10(0.25), math.log10(8), waves)
    positions = torch.zeros(2, 2 * waves)
    positions[0, :waves] = positions[1, waves:] = lengths
    sin, cos = torch.eye(CHANNELS).view(2, 2, waves, CHANNELS)  # each (axis, wave, channel)
    with torch.no_grad():
        model.shared_image_embedding.positional_embedding.copy_(positions)
        model.vision_encoder.neck.layer_norm2.weight.fill_(0.3)
        for corner in model.prompt_encoder.point_embed[2:]:
            corner.weight.mul_(0.3)
        for layer in model.mask_decoder.transformer.layers:
            layer.layer_norm3.weight.fill_(0.3)
            attention = layer.cross_attn_image_to_token
            # The heads have room for every second wave.
            queries = torch.cat([sin, cos], dim=1)[:, ::2].flatten(0, 1)
            keys = torch.cat([cos, -sin], dim=1)[:, ::2].flatten(0, 1)
            attention.q_proj.weight.copy_(2 * queries)
            attention.k_proj.weight.copy_(2 * keys)
            attention.q_proj.bias.zero_()
            attention.k_proj.bias.zero_()


def build_processor() -> SamProcessor:
    """The model's own image processor."""
    side = {"height": SIDE, "width": SIDE}
    return SamProcessor(
        SamImageProcessor(
            size={"longest_edge": SIDE},
            pad_size=side,
            mask_size={"longest_edge": SIDE},
            mask_pad_size=side,
            image_mean=list(MEAN),
            image_std=list(STD),
        )
    )


def draw_boxes(
    view: View, limit: int, exact: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to `limit` objects of a view: labels, and boxes as a detector would give them."""
    chosen = torch.from_numpy(rng.permutation(len(view.ids))[:limit])
    boxes = view.boxes_xyxy[chosen]
    shares = torch.from_numpy(rng.uniform(0, JITTER, (len(chosen), 1)) * (rng.random() > exact))
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    moves = torch.from_numpy(rng.uniform(-1, 1, boxes.shape)) * shares
    boxes = boxes + moves.float() * sides
    edge = torch.tensor([SIDE, view.height, SIDE, view.height], dtype=torch.float32)
    return view.ids[chosen], boxes.clamp(min=torch.zeros(4), max=edge)


def place_windows(boxes_xyxy: torch.Tensor, size: int, rng: np.random.Generator) -> np.ndarray:
    """Top and left token of a window of `size` tokens over every box, int (n, 2)."""
    grid = SIDE // PATCH
    corners = boxes_xyxy[:, [1, 0, 3, 2]].numpy() / PATCH
    low = np.maximum(np.ceil(corners[:, 2:]) - size, 0)
    high = np.minimum(np.floor(corners[:, :2]), grid - size)
    low, high = np.minimum(low, high), np.maximum(low, high)
    return np.clip(low + np.floor(rng.random(low.shape) * (high - low + 1)), 0, grid - size).astype(
        int
    )


class Trainer:
    """Model, running average and optimizer; the views of step `n` depend on the seed and `n` alone.

    Every cycle starts from the running average of the one before, with a new optimizer and a high
    learning rate that falls again (warm restarts, arXiv 1608.03983).
    """

    def __init__(self, images: list[Nuclei], recipe: Recipe):
        torch.manual_seed(recipe.seed)
        self.images, self.recipe = images, recipe
        self.average = build_model().eval()
        self.restart(0)

    def restart(self, cycle: int) -> None:
        """Begin a cycle."""
        self.mix = MIXES[min(cycle, len(MIXES) - 1)]
        self.begin, self.length = sum(self.recipe.steps[:cycle]), self.recipe.steps[cycle]
        self.model = copy.deepcopy(self.average).train()
        self.optimizer = torch.optim.AdamW(
            [
                {"params": p, "weight_decay": self.recipe.weight_decay if p.ndim > 1 else 0.0}
                for p in self.model.parameters()
            ],
            betas=(0.9, 0.98),
            fused=True,
        )

    def step(self, number: int) -> tuple[float, float]:
        """One update; returns the loss and the mean IoU of the single masks."""
        rng = np.random.default_rng([self.recipe.seed, number])
        place = number - self.begin
        for group in self.optimizer.param_groups:
            group["lr"] = self.mix.peak_rate * rate_at(place, self.length, self.recipe.warmup)
        whole = place >= (1 - CLOSING_SHARE) * self.length
        logits, predicted, truth, near = self._forward(number, whole, rng)
        loss, iou = segmenter_loss(logits, predicted, truth, near, ramp(number, FAR))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self._update_average(min(self.recipe.average_decay, (1 + place) / (10 + place)))
        return loss.item(), iou.mean().item()

    def _views(self, number: int, rng: np.random.Generator) -> list[View]:
        """Every image once in each pass, in a new order; views without an object are drawn anew."""
        views = []
        variety = self.mix.variety * ramp(number, LOOKS)
        mix = (variety, self.mix.own_size, self.mix.looks)
        for position in range(number * self.recipe.batch, (number + 1) * self.recipe.batch):
            turn, place = divmod(position, len(self.images))
            order = np.random.default_rng([self.recipe.seed, 1 << 20, turn])
            image = self.images[order.permutation(len(self.images))[place]]
            view = draw_view(image, rng, *mix)
            while len(view.ids) == 0:
                view = draw_view(image, rng, *mix)
            views.append(view)
        return views

    def _forward(
        self, number: int, whole: bool, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        views = self._views(number, rng)
        largest = max(float((v.boxes_xyxy[:, 2:] - v.boxes_xyxy[:, :2]).max()) for v in views)
        whole = whole or largest > (WINDOW - 3) * PATCH
        size, limit = (SIDE // PATCH, WHOLE_BOXES) if whole else (WINDOW, WINDOW_BOXES)
        pixels = torch.stack([view.pixels for view in views])
        pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        for view, one in zip(views, pixels, strict=True):
            one[:, view.height :] = 0  # the processor pads after it has normalised
        embeddings = self.model.vision_encoder(pixels).last_hidden_state
        positions = self.model.get_image_wide_positional_embeddings()[0]
        parts: list[list[torch.Tensor]] = [[], [], [], [], []]
        for view, embedding in zip(views, embeddings, strict=True):
            ids, boxes = draw_boxes(view, limit, self.mix.exact, rng)
            places = place_windows(boxes, size, rng)
            for one, box, (top, left) in zip(ids, boxes, places, strict=True):
                rows, columns = slice(top, top + size), slice(left, left + size)
                fine = [slice(s.start * PATCH, s.stop * PATCH) for s in (rows, columns)]
                offset = torch.tensor([left, top, left, top]) * PATCH
                parts[0].append(embedding[:, rows, columns])
                parts[1].append(positions[:, rows, columns])
                parts[2].append(box)
                parts[3].append((view.labels[fine[0], fine[1]] == one).float())
                parts[4].append(box - offset)
        embedded, placed, boxes, truth, local = map(torch.stack, parts)
        logits, predicted = decode_all(self.model, embedded, placed, boxes)
        truth = F.avg_pool2d(truth[:, None], STRIDE)[:, 0]
        return logits, predicted, truth, near_boxes(local, truth.shape[-1], STRIDE)

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        old, new = zip(*pairs, strict=True)
        torch._foreach_lerp_(list(old), list(new), 1 - decay)


def ramp(step: int, between: tuple[int, int]) -> float:
    """From 0 at one step to 1 at the other."""
    return min(max((step - between[0]) / (between[1] - between[0]), 0.0), 1.0)


def rate_at(place: int, length: int, warmup: int) -> float:
    """Share of the peak rate: a linear warm-up, then a cosine down to a hundredth."""
    if place < warmup:
        return (place + 1) / warmup
    done = (place - warmup) / max(length - warmup, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def main() -> None:
    """Train, save, measure, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("sample_data/models/segmenter"))
    parser.add_argument(
        "--steps", type=int, nargs="+", default=[1500, 1500, 6000], help="of each cycle"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="to go on after the last whole cycle")
    args = parser.parse_args()
    recipe = Recipe(tuple(args.steps), 2, 20, 0.02, 0.995, args.seed)
    learn, held_out = read_nuclei(args.data)
    trainer = Trainer(learn, recipe)
    first, seconds = load(trainer, args.checkpoint)
    for cycle in range(first, len(recipe.steps)):
        seconds += run_cycle(trainer, cycle, args.out)
        if args.checkpoint:
            state = {"average": trainer.average.state_dict(), "cycle": cycle, "seconds": seconds}
            torch.save(state, args.checkpoint)
    facts = {
        **asdict(recipe),
        "command": "python sample_models/train_segmenter.py PATH/TO/nuclei --steps "
        + " ".join(map(str, recipe.steps)),
        "parameters": trainer.average.num_parameters() / 1e6,
        "learn": len(learn),
        "learn_nuclei": sum(len(image.boxes_xyxy) for image in learn),
        "minutes": seconds / 60,
        "threads": torch.get_num_threads(),
        "side": SIDE,
        "jitter": JITTER,
    }
    write_card(args.out, facts, measure(args.out, held_out))
    print((args.out / "MODEL_CARD.md").read_text())


def load(trainer: Trainer, checkpoint: Path | None) -> tuple[int, float]:
    """The next cycle and the seconds so far."""
    if checkpoint is None or not checkpoint.exists():
        return 0, 0.0
    state = torch.load(checkpoint, weights_only=True)
    trainer.average.load_state_dict(state["average"])
    return state["cycle"] + 1, state["seconds"]


def run_cycle(trainer: Trainer, cycle: int, out: Path) -> float:
    """All steps of a cycle; the seconds that they took."""
    started, told = time.perf_counter(), []
    trainer.restart(cycle)
    for number in range(trainer.begin, trainer.begin + trainer.length):
        told.append(trainer.step(number))
        if len(told) == 50:
            loss, iou = np.mean(told, axis=0)
            seconds = time.perf_counter() - started
            print(f"step {number + 1} loss {loss:.4f} iou {iou:.4f} {seconds:.0f} s", flush=True)
            told.clear()
    save(trainer.average, out)
    return time.perf_counter() - started


def save(model: SamModel, folder: Path) -> None:
    """The checkpoint as `from_pretrained` reads it."""
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)


if __name__ == "__main__":
    main()
