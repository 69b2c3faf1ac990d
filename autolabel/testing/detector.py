"""What every detector must do, whatever its family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE, Batching, Detector, batch_size_of
from autolabel.ontology import Ontology
from autolabel.stages.detect import select
from autolabel.testing.batches import (
    BATCH_SIZES,
    BOXES_WITHIN,
    SCORES_WITHIN,
    apart,
    blobs,
    in_batches,
    orders,
    photos,
)
from autolabel.testing.expect import drawn, expect
from autolabel.types import Objects

CLASSES = Ontology.from_prompts(
    ["RBC=Red Blood Cell, red cell", "WBC=white blood cell", "cell", "cat"]
)
"""Classes that share words."""

WITH_NEGATIVES = Ontology(CLASSES.classes, ("smudge", "black smudge"))


def check_detector(model: str | Path, device: str = "cpu") -> None:
    """Check a detector against everything that `autolabel.models.base.Detector` promises.

    Args:
        model: as of `--model`: a registered name, or the checkpoint's folder or file. A small one
            with random weights will do, if photos and prompts make a difference to it.
        device: where it runs.

    Raises:
        ContractError: a promise is not kept.
        AutolabelError: there is no such model, or it does not load.
    """
    detector: Detector = registry.load(registry.locate("detector", str(model)), device)
    for check in DETECTOR_CHECKS:
        check(detector)


def weighed_by(detector: Detector) -> Ontology:
    """Return classes that share words, with negatives where the detector can weigh them."""
    try:
        detector.detect([blobs(60, 40)], WITH_NEGATIVES, 1.0)
    except AutolabelError:
        return CLASSES
    return WITH_NEGATIVES


def as_promised(found: Objects, asked: Ontology, width: int, height: int) -> None:
    """Check what was found in one image of that size.

    Raises:
        ContractError: a promise is not kept.
    """
    owner = {prompt: name or NEGATIVE for name, prompt in asked.pairs()}
    unknown = set(found.prompt) - set(owner)
    expect(not unknown, f"prompts that nobody asked for, or spelled otherwise: {unknown}")
    owners = [owner[prompt] for prompt in found.prompt]
    expect(owners == list(found.label), "a label is not the class of its prompt")
    for figures in (found.xyxy, found.score):
        expect(figures.dtype == np.float32, f"boxes or scores are {figures.dtype}, not float32")
    expect(np.isfinite(found.score).all(), "a score is not finite")
    expect(((found.score >= 0) & (found.score <= 1)).all(), "a score is not within [0, 1]")
    for score, scores in zip(found.score.tolist(), found.scores, strict=True):
        evidence = scores.get("detector", 1.0)
        expect(abs(evidence - score) < 1e-6, f"score {score} has the evidence {evidence}")
    kept = select(found, dict.fromkeys(asked.names, 0.0), 1.0, width, height)
    inside = (kept.xyxy >= 0).all() and (kept.xyxy <= [width, height, width, height]).all()
    expect(inside, "a box is not in the image")
    masks = [mask for mask in found.mask if mask is not None]
    expect(drawn(masks, height, width).any(axis=(1, 2)).all(), "a mask is empty")


def scores_reach_the_minimum(detector: Detector) -> None:
    """No box is below the lowest score asked for; without scores every box has score 1."""
    asked = weighed_by(detector)
    for lowest in (0.5, 1.0):
        (found,) = detector.detect([blobs(60, 40)], asked, lowest)
        expect((found.score >= lowest).all(), f"a score is below {lowest}, the lowest asked for")


def odd_sizes(detector: Detector) -> None:
    """Photos of one pixel, panoramas and grey ones have boxes like others."""
    asked = weighed_by(detector)
    for size in [(1, 1), (10, 200), (200, 10), (97, 61)]:
        (found,) = detector.detect([blobs(*size)], asked, 0.0)
        as_promised(found, asked, *size)
    (found,) = detector.detect([np.full((50, 70, 3), 128, np.uint8)], asked, 0.0)
    as_promised(found, asked, 70, 50)


def many_classes(detector: Detector) -> None:
    """Forty classes are told apart."""
    animals = Ontology.from_prompts([f"animal {i}" for i in range(40)])
    (found,) = detector.detect([blobs(60, 40)], animals, 0.0)
    as_promised(found, animals, 60, 40)
    expect(len(found), "nothing is found at a lowest score of 0")
    if any("detector" in scores for scores in found.scores):
        expect(len(set(found.label)) > 1, "one class takes every box of forty classes")


def classes_that_share_words(detector: Detector) -> None:
    """Prompts that share words, and negatives, each have boxes of their own."""
    asked = weighed_by(detector)
    found = detector.detect([blobs(60, 40, seed) for seed in range(4)], asked, 0.0)
    for objects in found:
        as_promised(objects, asked, 60, 40)
    expect(len({label for o in found for label in o.label}) > 1, "one class takes every box")


def spelling(detector: Detector) -> None:
    """A prompt comes back as it was spelled, capitals included."""
    negatives = ["BLACK smudge"] if weighed_by(detector).negatives else []
    asked = Ontology.from_prompts(["Red Blood Cell"], negatives)
    found = detector.detect([blobs(60, 40, seed) for seed in range(4)], asked, 0.0)
    seen = {prompt for objects in found for prompt in objects.prompt}
    expect("Red Blood Cell" in seen, f"the prompt 'Red Blood Cell' comes back as {seen}")
    expect(seen <= {"Red Blood Cell", "BLACK smudge"}, f"prompts that nobody asked for: {seen}")


def a_photo_alone(detector: Detector) -> None:
    """What is found in a photo is what is found in it alone, in whatever batch and order."""
    asked, mixed = weighed_by(detector), photos()
    before = [photo.copy() for photo in mixed]
    alone = in_batches(lambda batch: detector.detect(batch, asked, 0.0), mixed, 1)
    different = len({objects.xyxy.tobytes() for objects in alone})
    expect(different > len(mixed) // 2, "photos make no difference to the boxes")
    for size in BATCH_SIZES[1:]:
        for order in orders(len(mixed)):
            shuffled = [mixed[i] for i in order]
            found = in_batches(lambda batch: detector.detect(batch, asked, 0.0), shuffled, size)
            for i, objects in zip(order, found, strict=True):
                score, pixels = apart(alone[i], objects)
                within = score < SCORES_WITHIN and pixels < BOXES_WITHIN
                expect(within, f"in a batch a score moves by {score}, a box by {pixels} pixels")
    same = all(map(np.array_equal, before, mixed))
    expect(same, "the detector wrote to the photos")


def batches(detector: Detector) -> None:
    """A batch of several sizes keeps its order; how many photos a batch has is a number."""
    expect(batch_size_of(detector) > 0, "batch_size is not a positive number")
    asked, sizes = weighed_by(detector), [(60, 40), (33, 90), (1, 1)]
    found = detector.detect([blobs(*size) for size in sizes], asked, 0.0)
    for objects, size in zip(found, sizes, strict=True):
        as_promised(objects, asked, *size)
    if isinstance(detector, Batching):
        height, width = detector.input_size(60, 40)
        expect(height > 0 < width, f"an input of {height} × {width} pixels")


DETECTOR_CHECKS: tuple[Callable[[Detector], None], ...] = (
    scores_reach_the_minimum,
    odd_sizes,
    many_classes,
    classes_that_share_words,
    spelling,
    a_photo_alone,
    batches,
)
"""Each raises `ContractError`."""
