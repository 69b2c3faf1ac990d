"""Random views of the nuclei: cut, enlarged, turned, recoloured or painted as other cells.

The nuclei shine on black at 5 to 30 pixels; what a segmenter meets elsewhere is larger, coloured,
pale in the middle or dark on light. The hand-drawn outlines serve for all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from nuclei import Nuclei

#: Pixels on a side of a view, and of the images that it is cut from.
SIDE, SOURCE_SIDE = 384, 256
#: A cut-off object of fewer pixels teaches nothing.
SMALLEST_AREA = 40


@dataclass(frozen=True)
class View:
    """One training image.

    `pixels` float (3, SIDE, SIDE) in 0..1, `labels` int64 (SIDE, SIDE) with 0 for background,
    `ids` the labels in view, `boxes_xyxy` float (len(ids), 4) the boxes of what is seen of them,
    `height` the rows in use; the rest is padding.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor
    boxes_xyxy: torch.Tensor
    height: int


def draw_view(
    nuclei: Nuclei,
    rng: np.random.Generator,
    variety: float = 1.0,
    own_size: float = 0.5,
    looks: tuple[float, float] = (0.45, 0.3),
) -> View:
    """A random view.

    `variety` is the share of views that may look like something else than shining nuclei, and
    `own_size` of those at about the nuclei's own size; the others are enlarged. Of the varied
    views, `looks` are the shares that only shine otherwise and that are painted; the rest has its
    greys mapped to colours.
    """
    own = rng.random() < own_size
    zoom = rng.uniform(0.95, 1.4) if own else float(np.exp(rng.uniform(0.3, 1.7)))
    height = SIDE if rng.random() < 0.75 else int(rng.integers(SIDE // 2, SIDE))
    pixels = torch.from_numpy(nuclei.pixels.copy()).permute(2, 0, 1)[None].float() / 255
    labels = torch.from_numpy(nuclei.labels.copy())[None, None].float()
    pixels, labels = _cut(pixels, labels, zoom, height, nuclei, rng)
    if rng.random() < 0.5:
        pixels, labels = pixels.flip(-1), labels.flip(-1)
    if rng.random() < 0.5:
        pixels, labels = pixels.flip(-2), labels.flip(-2)
    if height == SIDE and rng.random() < 0.5:
        pixels, labels = pixels.transpose(-1, -2), labels.transpose(-1, -2)
    labels = labels[0, 0].long()
    pixels = _recolour(pixels[0], labels, rng, variety, looks)
    whole = torch.zeros(3, SIDE, SIDE)
    whole[:, :height] = pixels
    labels = F.pad(labels, (0, 0, 0, SIDE - height))
    ids, boxes = _in_view(labels)
    return View(whole, labels, ids, boxes, height)


def _cut(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    zoom: float,
    height: int,
    nuclei: Nuclei,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A crop around a random nucleus, resized to (height, SIDE)."""
    stretch = float(np.exp(rng.uniform(-0.2, 0.2)))
    width_cut = min(SOURCE_SIDE / zoom * stretch, SOURCE_SIDE)
    height_cut = min(SOURCE_SIDE / zoom / stretch * height / SIDE, SOURCE_SIDE)
    x1, y1, x2, y2 = nuclei.boxes_xyxy[rng.integers(len(nuclei.boxes_xyxy))]
    left = (x1 + x2) / 2 - rng.uniform(0.2, 0.8) * width_cut
    top = (y1 + y2) / 2 - rng.uniform(0.2, 0.8) * height_cut
    room = [SOURCE_SIDE - width_cut, SOURCE_SIDE - height_cut]
    left, top = np.clip([left, top], 0, room).astype(int)
    rows = slice(top, top + max(int(height_cut), 8))
    columns = slice(left, left + max(int(width_cut), 8))
    size = (height, SIDE)
    resized = F.interpolate(
        pixels[..., rows, columns], size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized, F.interpolate(labels[..., rows, columns], size, mode="nearest-exact")


def _in_view(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    seen, areas = torch.unique(labels, return_counts=True)
    ids = seen[(seen > 0) & (areas >= SMALLEST_AREA)]
    boxes = []
    for one in ids:
        ys, xs = torch.nonzero(labels == one, as_tuple=True)
        boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return ids, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def _recolour(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    rng: np.random.Generator,
    variety: float,
    looks: tuple[float, float],
) -> torch.Tensor:
    plain, painted = looks
    varied = rng.random() < variety
    kind = rng.random() if varied else 0.0
    if kind < plain:
        pixels = (pixels * float(np.exp(rng.uniform(-0.6, 1.1)))).clamp(0, 1)
        pixels = pixels * torch.from_numpy(rng.uniform(0.6, 1.0, (3, 1, 1))).float()
    elif kind < 1 - painted:
        pixels = _mapped(pixels, rng)
    else:
        pixels = _painted(labels, rng)
    if varied and kind < plain and rng.random() < 0.3:
        pixels = 1 - pixels
    if rng.random() < 0.3:
        pixels = pixels * _slope(pixels.shape, rng)
    if rng.random() < 0.25:
        pixels = _blurred(pixels, int(rng.integers(1, 4)))
    if rng.random() < 0.4:
        noise = torch.from_numpy(rng.standard_normal(pixels.shape)).float()
        pixels = pixels + noise * float(rng.uniform(0, 0.04)) * float(pixels.max())
    return pixels.clamp(0, 1)


def _mapped(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Grey values from one random colour to another."""
    grey = pixels.mean(0, keepdim=True)
    low, high = grey.min(), grey.max()
    grey = ((grey - low) / (high - low + 1e-6)) ** float(rng.uniform(0.5, 1.2))
    back, front = _two_colours(rng)
    return back + (front - back) * grey


def _painted(labels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The outlines filled with colour: shaded, rimmed or pale inside, on a mottled ground."""
    back, front = _two_colours(rng)
    count = int(labels.max()) + 1
    colours = front.view(1, 3) + torch.from_numpy(rng.normal(0, 0.05, (count, 3))).float()
    if rng.random() < 0.3:  # two kinds of cells on one slide
        other = torch.from_numpy(rng.uniform(0, 1, 3)).float()
        colours[torch.from_numpy(rng.random(count) < 0.3)] = other
    colours[0] = back.view(3)
    inside = (labels > 0).float()[None]
    painted = colours[labels].permute(2, 0, 1)
    depth = _blurred(inside, int(rng.integers(3, 16))) * inside
    deepest = depth.amax().clamp(min=1e-6)
    pale = float(rng.uniform(-0.5, 1.0))
    core = ((depth / deepest - 0.6) / 0.4).clamp(0, 1) * pale
    painted = painted + core * (back - painted) * float(rng.uniform(0.2, 0.8))
    coarse = torch.from_numpy(rng.standard_normal((1, 3, 32, 32))).float()
    mottle = F.interpolate(coarse, labels.shape[-2:], mode="bilinear", align_corners=False)[0]
    return _blurred(painted + mottle * float(rng.uniform(0, 0.04)), int(rng.integers(0, 4)))


def _two_colours(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    while True:
        back, front = rng.uniform(0, 1, (2, 3))
        if np.abs(back - front).max() > 0.15:
            return tuple(torch.from_numpy(c).float().view(3, 1, 1) for c in (back, front))


def _blurred(pixels: torch.Tensor, reach: int) -> torch.Tensor:
    """Two box blurs, each over 2 * reach + 1 pixels."""
    for _ in range(2 if reach else 0):
        pixels = F.avg_pool2d(pixels, 2 * reach + 1, 1, reach, count_include_pad=False)
    return pixels


def _slope(shape: torch.Size, rng: np.random.Generator) -> torch.Tensor:
    """Light that falls off to one side."""
    ys, xs = torch.linspace(-1, 1, shape[-2])[:, None], torch.linspace(-1, 1, shape[-1])
    dy, dx = (float(v) for v in rng.uniform(-0.2, 0.2, 2))
    return 1 - abs(dy) - abs(dx) + dy * ys + dx * xs
