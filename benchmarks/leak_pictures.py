"""Pictures derived from a photo, and series of different pictures of one fixed scene.

Both are what `leak_guard.py` measures the leak guard on; everything is drawn from a seed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Change = Callable[[Image.Image, np.random.Generator], Image.Image]
Picture = Callable[[np.random.Generator], Image.Image]


def crop(share: float) -> Change:
    """Without `share` of the side at each of the four sides."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        x, y = round(share * image.width), round(share * image.height)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


def piece(width: float, height: float) -> Change:
    """A piece of these shares of the sides, somewhere."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        w, h = round(width * image.width), round(height * image.height)
        x = int(rng.integers(0, image.width - w + 1))
        y = int(rng.integers(0, image.height - h + 1))
        return image.crop((x, y, x + w, y + h))

    return change


def rotated(degrees: float) -> Change:
    """Turned about its centre, black in the corners."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.rotate(degrees * rng.choice([-1, 1]), Image.Resampling.BICUBIC)

    return change


def bordered(share: float) -> Change:
    """With a frame of one colour, of `share` of the shorter side."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        return ImageOps.expand(image, round(share * min(image.size)), colour)

    return change


def letterboxed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """On a square of 640 pixels as trainers make it; a square photo on one of 16:9."""
    size = (640, 360) if image.width == image.height else (640, 640)
    return ImageOps.pad(image, size, Image.Resampling.BICUBIC, color=(114, 114, 114))


def square(share: float) -> Change:
    """With a black square of `share` of the area, somewhere."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        image = image.copy()
        side = round(math.sqrt(share * image.width * image.height))
        x = int(rng.integers(0, image.width - side + 1))
        y = int(rng.integers(0, image.height - side + 1))
        image.paste((0, 0, 0), (x, y, x + side, y + side))
        return image

    return change


def watermarked(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Half-transparent words across the middle, a third of the picture high."""
    layer = Image.new("RGBA", image.size)
    size = image.width // 7
    font = ImageFont.load_default(size)
    ImageDraw.Draw(layer).text(
        (image.width / 2, image.height / 2), "SAMPLE", (255, 255, 255, 128), font, anchor="mm",
        stroke_width=max(1, size // 20),
    )  # fmt: skip
    layer = layer.rotate(20, Image.Resampling.BICUBIC)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def tiled_mark(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same small words all over, as picture agencies do it."""
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(max(10, image.width // 25))
    for y in range(0, image.height, max(20, image.height // 5)):
        for x in range(0, image.width, max(30, image.width // 3)):
            draw.text((x, y), "(c) agency", (255, 255, 255, 110), font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def captioned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A date in opaque yellow in the corner, as cameras print it."""
    image = image.copy()
    font = ImageFont.load_default(image.height // 14)
    at = (0.95 * image.width, 0.95 * image.height)
    ImageDraw.Draw(image).text(at, "2024-03-17 12:08", (255, 210, 0), font, anchor="rs")
    return image


def jpeg(quality: int) -> Change:
    """Saved as a JPEG of that quality."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def resized(share: float) -> Change:
    """With sides of `share` of what they were."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        size = round(share * image.width), round(share * image.height)
        return image.resize(size, Image.Resampling.BICUBIC)

    return change


def squeezed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Made square, whatever its shape was."""
    return image.resize((416, 416) if image.width != image.height else (416, 312))


def recoloured(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Hues turned by a tenth of the circle, colours half as strong again."""
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point(lambda v: (v + 26) % 256)
    return ImageEnhance.Color(Image.merge("HSV", (hue, saturation, value)).convert("RGB")).enhance(
        1.5
    )


def gamma(power: float) -> Change:
    """Every value raised to a power."""

    def change(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.point([round(255 * (v / 255) ** power) for v in range(256)] * 3)

    return change


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gaussian noise of 8 levels."""
    pixels = np.asarray(image, np.float32)
    pixels = pixels + rng.normal(0, 8, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "JPEG of quality 40": jpeg(40),
    "half the size": resized(0.5),
    "made square": squeezed,
    "hues turned": recoloured,
    "grey": lambda image, rng: ImageOps.grayscale(image).convert("RGB"),
    "blurred (2 pixels)": lambda image, rng: image.filter(ImageFilter.GaussianBlur(2)),
    "noise of 8 levels": noisy,
    "turned by 90°": lambda image, rng: image.transpose(Image.Transpose.ROTATE_90),
    "mirrored": lambda image, rng: ImageOps.mirror(image),
    "cropped by 5 % a side": crop(0.05),
    "cropped by 10 % a side": crop(0.10),
    "cropped by 15 % a side": crop(0.15),
    "cropped by 25 % a side": crop(0.25),
    "left half": lambda image, rng: image.crop((0, 0, image.width // 2, image.height)),
    "lower half, mirrored": lambda image, rng: ImageOps.mirror(
        image.crop((0, image.height // 2, image.width, image.height))
    ),
    "a quarter, anywhere": piece(0.5, 0.5),
    "a quarter, as JPEG of half size": lambda image, rng: jpeg(70)(
        resized(0.5)(piece(0.5, 0.5)(image, rng), rng), rng
    ),
    "letterboxed": letterboxed,
    "border of 5 %": bordered(0.05),
    "border of 15 %": bordered(0.15),
    "rotated by 5°": rotated(5),
    "rotated by 10°": rotated(10),
    "rotated by 15°": rotated(15),
    "watermark": watermarked,
    "watermark, tiled": tiled_mark,
    "date in the corner": captioned,
    "black square of 1 %": square(0.01),
    "black square of 4 %": square(0.04),
    "brightened by half": lambda image, rng: ImageEnhance.Brightness(image).enhance(1.5),
    "darkened by half": lambda image, rng: ImageEnhance.Brightness(image).enhance(0.5),
    "contrast up by half": lambda image, rng: ImageEnhance.Contrast(image).enhance(1.5),
    "equalised": lambda image, rng: ImageOps.equalize(image),
    "gamma 0.5": gamma(0.5),
    "gamma 2": gamma(2.0),
    "cropped, rotated by 8°, gamma 0.7": lambda image, rng: gamma(0.7)(
        crop(0.12)(rotated(8)(image, rng), rng), rng
    ),
}
"""What data-set tools and people do to a photo, by name."""


# -- series of one fixed scene ------------------------------------------------------------------


def _sensor(pixels: np.ndarray, rng: np.random.Generator, noise: float = 2.0) -> Image.Image:
    """As a camera gives it: noise, and a JPEG of quality 90."""
    noisy_ = pixels + rng.normal(0, noise, pixels.shape)
    return jpeg(90)(Image.fromarray(np.clip(noisy_, 0, 255).astype(np.uint8)), rng)


def _canvas(pixels: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image, ImageDraw.Draw(image)


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(c) for c in rng.integers(20, 236, 3))


def conveyor(seed: int) -> Picture:
    """A textured belt between rails, and three to six things on it."""
    fixed = np.random.default_rng(seed)
    belt = fixed.normal(0, 1, (480, 640))
    belt = np.asarray(
        Image.fromarray((belt * 40 + 128).clip(0, 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(1.5)
        ),
        np.float32,
    )
    scene = np.repeat(((belt - 128) * 1.5 + 90)[..., None], 3, axis=2)
    scene[:40], scene[-40:] = 170, 150
    scene[::, ::80] *= 0.8

    def picture(rng: np.random.Generator) -> Image.Image:
        image, draw = _canvas(scene)
        for _ in range(int(rng.integers(3, 7))):
            x, y = int(rng.integers(40, 560)), int(rng.integers(60, 380))
            w, h = (int(v) for v in rng.integers(30, 90, 2))
            shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            shape((x, y, x + w, y + h), fill=_colour(rng), outline=(10, 10, 10))
        return _sensor(np.asarray(image, np.float32), rng)

    return picture


def horizon(seed: int) -> Picture:
    """Sky, sea with waves, a coast; a small boat that moves."""
    fixed = np.random.default_rng(seed)
    y, x = np.mgrid[0:480, 0:640].astype(np.float32)
    sky = 150 + y * 0.2
    waves = 90 + 6 * np.sin(y * 0.7 + 3 * np.sin(x * 0.02)) + fixed.normal(0, 3, y.shape)
    grey = np.where(y < 240, sky, waves)
    coast = 240 - 30 * np.exp(-(((x - 90) / 60) ** 2)) - 18 * np.exp(-(((x - 540) / 40) ** 2))
    grey = np.where((y > coast) & (y < 240), 60, grey)
    scene = np.stack([grey * 0.8, grey * 0.95, grey * 1.1], axis=2)

    def picture(rng: np.random.Generator) -> Image.Image:
        image, draw = _canvas(scene)
        x, y = int(rng.integers(30, 580)), int(rng.integers(250, 430))
        size = int(rng.integers(14, 30))
        draw.polygon([(x, y), (x + 2 * size, y), (x + 1.6 * size, y + size // 2),
                      (x + 0.4 * size, y + size // 2)], fill=(60, 30, 20))  # fmt: skip
        draw.polygon([(x + size, y - 2 * size), (x + size, y), (x + 1.8 * size, y)],
                     fill=(235, 235, 225))  # fmt: skip
        return _sensor(np.asarray(image, np.float32), rng)

    return picture


def blank(seed: int) -> Picture:
    """A flat grey with the sensor's noise."""

    def picture(rng: np.random.Generator) -> Image.Image:
        return _sensor(np.full((480, 640, 3), 128.0), rng, noise=3.0)

    return picture


def petri(seed: int) -> Picture:
    """A dish with twenty to forty colonies at random places."""
    y, x = np.mgrid[0:480, 0:640].astype(np.float32)
    radius = np.hypot(x - 320, y - 240)
    grey = np.where(radius < 215, 200 - radius * 0.05, np.where(radius < 228, 235, 40))
    scene = np.stack([grey, grey * 0.97, grey * 0.85], axis=2)

    def picture(rng: np.random.Generator) -> Image.Image:
        image, draw = _canvas(scene)
        for _ in range(int(rng.integers(20, 41))):
            angle, far = rng.uniform(0, 2 * math.pi), 200 * math.sqrt(rng.random())
            cx, cy, r = 320 + far * math.cos(angle), 240 + far * math.sin(angle), rng.uniform(3, 10)
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=(150, 110, 60))
        return _sensor(np.asarray(image, np.float32), rng)

    return picture


SCENES: dict[str, Callable[[int], Picture]] = {
    "conveyor": conveyor, "horizon": horizon, "petri dish": petri, "blank": blank,
}  # fmt: skip
"""Series of a fixed camera, by name: a seed gives the scene, which draws its pictures."""
