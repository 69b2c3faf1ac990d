"""What the leak guard catches and what it calls a leak wrongly, by its hash alone and as it is.

    python benchmarks/leak_guard.py sample_data/blood_cells/validation
    python benchmarks/leak_guard.py PHOTOS --pool OTHERS --scenes --cost 500

Every photo of a folder is held out and changed in every way of `leak_pictures.py`. `--pool` names
photos of the same kind that are no leaks, `--scenes` draws 60 pictures of each fixed scene and
holds half of them out, and `--cost` looks at 100 pictures with so many held-out ones.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from leak_pictures import CHANGES, SCENES, piece
from PIL import Image
from rich.console import Console
from rich.table import Table

from autolabel.ops.hashes import NearIndex, phash
from autolabel.ops.images import read_image
from autolabel.ops.local_features import one_thread
from autolabel.sources import find_images
from autolabel.stages.held_out import HeldOutPhoto
from autolabel.stages.leaks import HeldOutIndex

NEAR_BITS = 6
LOOKED_AT = 100

Judge = Callable[[np.ndarray], tuple[bool, str]]
"""Whether the hash alone calls a picture a leak, and what the guard calls it."""


def judge_of(photos: Sequence[Path]) -> Judge:
    held = [HeldOutPhoto.read(path) for path in photos]
    guard, hashes = HeldOutIndex(held, NEAR_BITS), NearIndex[int](NEAR_BITS)
    for i, photo in enumerate(held):
        for turned in photo.hashes:
            hashes.add(turned, i)

    def judge(pixels: np.ndarray) -> tuple[bool, str]:
        found = guard.find(pixels)
        return hashes.find(phash(pixels)) is not None, found.kind if found else "none"

    return judge


def rng(*key: object) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(repr(key).encode()).digest()))


def shares(judged: Iterable[tuple[bool, str]]) -> list[str]:
    """By the hash alone, leaks, near ones; in per cent."""
    results = list(judged)
    kinds = Counter(kind for _, kind in results)
    counts = sum(by_hash for by_hash, _ in results), kinds["equal"] + kinds["derived"]
    return [f"{100 * n / len(results):.0f}" for n in (*counts, kinds["near"])]


def table(title: str, first: str) -> Table:
    made = Table(title=title)
    for name in (first, "hash alone, leaks %", "guard, leaks %", "guard, near %"):
        made.add_column(name, justify="left" if name is first else "right")
    return made


def changed(folder: str, every: int) -> Table:
    photos = find_images([folder]).paths[::every]
    judge = judge_of(photos)
    made = table(f"{folder}: {len(photos)} held-out photos, changed", "change")
    for name, change in CHANGES.items():
        pictures = (
            change(Image.fromarray(read_image(path)), rng(name, path.name)) for path in photos
        )
        made.add_row(name, *shares(judge(np.asarray(picture)) for picture in pictures))
    return made


def others(folder: str, pool: str) -> Table:
    judge = judge_of(find_images([folder]).paths)
    paths = find_images([pool]).paths
    made = table(f"{len(paths)} other photos", "photos")
    made.add_row(pool, *shares(judge(read_image(path)) for path in paths))
    return made


def scenes() -> Table:
    made = table("60 pictures of a scene, half of them held out", "scene")
    for name, scene in SCENES.items():
        draw = scene(5)
        with TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{i}.png" for i in range(30)]
            for i, path in enumerate(paths):
                draw(rng(name, i)).save(path)
            judge = judge_of(paths)
        rest = (np.asarray(draw(rng(name, i))) for i in range(30, 60))
        made.add_row(name, *shares(map(judge, rest)))
    return made


def cost(folder: str, held_out: int) -> str:
    """Processor time for distinct pieces of the photos of a folder, on one core."""
    photos = find_images([folder]).paths
    half = piece(0.75, 0.75)

    def pieces(first: int, count: int, into: Path) -> list[Path]:
        paths = []
        for i in range(first, first + count):
            photo = Image.fromarray(read_image(photos[i % len(photos)]))
            side = photo.transpose(list(Image.Transpose)[(i // len(photos)) % 7])
            path = into / f"{i}.png"
            half(side, rng("piece", i)).save(path)
            paths.append(path)
        return paths

    with TemporaryDirectory() as folder_:
        held = pieces(0, held_out, Path(folder_))
        pool = pieces(held_out, LOOKED_AT, Path(folder_))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        judge = HeldOutIndex([HeldOutPhoto.read(path) for path in held], NEAR_BITS)
        built = time.process_time() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        start = time.process_time()
        for path in pool:
            judge.find(read_image(path))
        each = (time.process_time() - start) / len(pool)
    return (
        f"{held_out} held-out photos: {built:.1f} s to describe them, {grown:.0f} MB; then "
        f"{1000 * each:.0f} ms a photo, of {len(pool)}, of processor time (10,000: "
        f"{10_000 * each / 60:.1f} minutes, extrapolated)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--every", type=int, default=1, help="hold out every n-th photo")
    parser.add_argument("--pool", help="photos of the same kind as the first folder's, no leaks")
    parser.add_argument("--scenes", action="store_true")
    parser.add_argument("--cost", type=int, help="number of held-out photos")
    options = parser.parse_args()
    one_thread()
    console = Console(width=100)
    if options.cost:
        console.print(cost(options.folders[0], options.cost))
    if options.scenes:
        console.print(scenes())
    if options.pool:
        console.print(others(options.folders[0], options.pool))
    for folder in options.folders:
        console.print(changed(folder, options.every))


if __name__ == "__main__":
    main()
