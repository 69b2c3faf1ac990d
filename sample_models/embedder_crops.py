"""Crops of BCCD's training photos that teach the small embedders: good boxes and bad ones.

A good crop is a hand-labelled box, jittered as a detector's would be. A bad one is what a label
must not be: empty ground, a box far off its object, a piece of an object, several objects in one.
Photos whose red cells were not labelled to the end give no ground, which may hold a cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from bccd import CLASSES, LabelledPhoto
from PIL import Image

from autolabel.ops.crops import square_crop

#: The kinds of bad crops, after the classes themselves.
BAD = ("ground", "shifted", "part", "several", "loose")
#: Bad crops overlap every object by less than this, good ones their own by more than `GOOD_IOU`.
BAD_IOU, GOOD_IOU = 0.45, 0.72
#: A photo with fewer labelled red cells than this was not labelled to the end.
FULLY_LABELLED = 6
CONTEXT = (0.1, 0.2)

Box = np.ndarray


@dataclass(frozen=True)
class Bank:
    """Square crops of one size.

    Attributes:
        pixels: uint8 (n, 3, side, side).
        kind: int64 (n,), a class of `CLASSES`, or `len(CLASSES)` + place in `BAD`.
        of: int64 (n,), for a bad crop the class of the object that it misses; otherwise its class.
    """

    pixels: torch.Tensor
    kind: torch.Tensor
    of: torch.Tensor


class CropSampler:
    """Draws boxes of every kind from hand-labelled photos."""

    def __init__(self, photos: list[LabelledPhoto], side: int, seed: int):
        self.photos, self.side = photos, side
        self.rng = np.random.default_rng(seed)
        self.images = [np.array(Image.open(p.path).convert("RGB")) for p in photos]
        self.boxes = [np.array(p.boxes_xyxy, float).reshape(-1, 4) for p in photos]
        self.of_class = [
            [(i, j) for i, p in enumerate(photos) for j, c in enumerate(p.classes) if c == k]
            for k in range(len(CLASSES))
        ]
        self.full = [i for i, p in enumerate(photos) if p.classes.count(0) >= FULLY_LABELLED]

    def bank(self, per_class: int, per_bad: int) -> Bank:
        """So many good crops of each class and bad crops of each kind, ground counted twice."""
        draws: list[tuple[int, int, Callable[[int], tuple[int, Box]], int]] = []
        for k in range(len(CLASSES)):
            draws.append((k, k, self.good, per_class))
            for b, name in enumerate(BAD):
                count = per_bad * (2 if name in ("ground", "shifted") else 1) // len(CLASSES)
                draws.append((len(CLASSES) + b, k, getattr(self, name), count))
        pixels, kinds, of = [], [], []
        for kind, k, draw, count in draws:
            pixels += [self.cut(*draw(k)) for _ in range(count)]
            kinds += [kind] * count
            of += [k] * count
        stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
        return Bank(stacked, torch.tensor(kinds), torch.tensor(of))

    def cut(self, photo: int, box: Box) -> np.ndarray:
        """The pixels of a box with its context, uint8 (side, side, 3)."""
        square = square_crop(self.images[photo], box, self.rng.uniform(*CONTEXT))
        resized = Image.fromarray(square).resize((self.side,) * 2, Image.Resampling.BICUBIC)
        return np.asarray(resized)

    def good(self, k: int) -> tuple[int, Box]:
        """A labelled box of class `k`, its edges moved by up to a tenth of its sides."""
        photo, box = self._object(k)
        while True:
            w, h = box[2:] - box[:2]
            moved = box + self.rng.uniform(-0.12, 0.12, 4) * [w, h, w, h]
            if iou(moved, box[None])[0] >= GOOD_IOU:
                return photo, self._clipped(photo, moved)

    def ground(self, k: int) -> tuple[int, Box]:
        """A box of the size of some object of class `k` anywhere, on no object by half."""
        while True:
            photo = int(self.rng.choice(self.full))
            _, box = self._object(k)
            size = (box[2:] - box[:2]) * self.rng.uniform(0.8, 1.25)
            if (drawn := self._bad(photo, self._somewhere(photo, size))) is not None:
                return photo, drawn

    def shifted(self, k: int) -> tuple[int, Box]:
        """A labelled box, moved so far that less than half of it is right."""
        while True:
            photo, box = self._object(k)
            w, h = box[2:] - box[:2]
            angle, far = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(0.3, 0.95)
            step = far * np.array([np.cos(angle) * w, np.sin(angle) * h])
            grown = self.rng.uniform(0.9, 1.1, 2) * [w, h] / 2
            centre = (box[:2] + box[2:]) / 2 + step
            moved = np.concatenate([centre - grown, centre + grown])
            if (drawn := self._bad(photo, moved)) is not None:
                return photo, drawn

    def part(self, k: int) -> tuple[int, Box]:
        """A box inside an object."""
        while True:
            photo, box = self._object(k)
            size = (box[2:] - box[:2]) * self.rng.uniform(0.35, 0.75, 2)
            corner = self.rng.uniform(box[:2], box[2:] - size)
            if (drawn := self._bad(photo, np.concatenate([corner, corner + size]))) is not None:
                return photo, drawn

    def several(self, k: int) -> tuple[int, Box]:
        """A box around an object and its nearest neighbour; a loose one where it is alone."""
        for _ in range(20):
            photo, box = self._object(k)
            others = self.boxes[photo]
            far = np.abs((others[:, :2] + others[:, 2:] - box[:2] - box[2:]) / 2).sum(1)
            far[far == 0] = np.inf
            if np.isfinite(far).any():
                other = others[np.argmin(far)]
                joined = np.concatenate([np.minimum(box, other)[:2], np.maximum(box, other)[2:]])
                if (drawn := self._bad(photo, joined, limit=0.6)) is not None:
                    return photo, drawn
        return self.loose(k)

    def loose(self, k: int) -> tuple[int, Box]:
        """A box around an object that is far too large."""
        while True:
            photo, box = self._object(k)
            size = (box[2:] - box[:2]) * self.rng.uniform(1.45, 2.2, 2)
            corner = self.rng.uniform(box[2:] - size, box[:2])
            if (drawn := self._bad(photo, np.concatenate([corner, corner + size]))) is not None:
                return photo, drawn

    def _object(self, k: int) -> tuple[int, Box]:
        photo, j = self.of_class[k][self.rng.integers(len(self.of_class[k]))]
        return photo, self.boxes[photo][j]

    def _somewhere(self, photo: int, size: np.ndarray) -> Box:
        room = np.maximum(np.array(self.photos[photo].size_wh) - size, 1)
        corner = self.rng.uniform(0, room)
        return np.concatenate([corner, corner + size])

    def _clipped(self, photo: int, box: Box) -> Box:
        return np.clip(box, 0, np.tile(self.photos[photo].size_wh, 2))

    def _bad(self, photo: int, box: Box, limit: float = BAD_IOU) -> Box | None:
        """The box within its photo, if it covers no object well."""
        box = self._clipped(photo, box)
        if (box[2:] - box[:2] < 8).any() or iou(box, self.boxes[photo]).max(initial=0) > limit:
            return None
        return box


def iou(box: Box, others: np.ndarray) -> np.ndarray:
    """Overlap of one box with each of (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared)


def augmented(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """uint8 crops as float in [0, 1], turned, mirrored and tinted at random; (n, 3, side, side)."""
    out = pixels.float() / 255
    n = len(out)
    for axes, dims in (((2,), None), ((3,), None), (None, (2, 3))):
        chosen = torch.rand(n, generator=generator) < 0.5
        part = out[chosen]
        out[chosen] = part.flip(axes) if axes else part.transpose(*dims)
    gain = 1 + 0.12 * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    shift = 0.08 * (2 * torch.rand(n, 3, 1, 1, generator=generator) - 1)
    common = 0.1 * (2 * torch.rand(n, 1, 1, 1, generator=generator) - 1)
    return (out * gain + shift + common).clamp(0, 1)
