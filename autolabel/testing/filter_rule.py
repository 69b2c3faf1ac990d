"""What every rule of the filter must do, whatever it looks at."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from autolabel.config import FilterConfig
from autolabel.ops.masks import encode
from autolabel.stages.filter import RULES, Rejected, Rule, RuleInput, active, option_of
from autolabel.stages.filter.evidence import (
    CLIP,
    DINOV2,
    Distances,
    Probabilities,
    ProbeAnswers,
    vector_key,
)
from autolabel.store.vectors import CROPS
from autolabel.testing.batches import orders
from autolabel.testing.expect import ContractError, expect
from autolabel.types import Objects, Record

WIDTH, HEIGHT = 100, 80
NAMES = ("cat", "dog")


@dataclass(frozen=True)
class RuleOn:
    """A rule that is on, with the value of its option."""

    rule: Rule
    option: Any
    config: FilterConfig


def check_rule(name: str, option: Any) -> None:
    """Check a rule against everything that `autolabel.stages.filter.Rule` promises.

    Args:
        name: as it is registered.
        option: the value of its option, one with which it rejects some labels and not all.

    Raises:
        ContractError: a promise is not kept.
        UsageError: there is no such rule, or it does not take the value.
    """
    given = {name: option} if name in RULES.built_in else {"plugin_rule": {name: option}}
    config = FilterConfig.model_validate({"clip": "any", "dinov2": "any", **given})
    on = active(config)
    expect(on == [name], f"with {option!r} the rules that are on are {on}")
    for check in RULE_CHECKS:
        check(RuleOn(RULES[name], option_of(name, config), config))


def images(on: RuleOn, count: int = 12) -> Iterator[RuleInput]:
    """Give images with up to a dozen labels, some of them rejected already."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        n = seed + 1
        vectors = {vector_key(kind, CROPS): _units(rng, n) for kind in (CLIP, DINOV2)}
        record = Record(f"image {seed}", f"{seed}.png", WIDTH, HEIGHT, vectors=vectors)
        alive = rng.random(n) < 0.8
        record = replace(record, objects=replace(_labels(rng, n), keep=alive))
        found = {"probabilities": _probabilities, "distances": _distances, "probe": _probe}
        evidence = {} if on.rule.needs is None else {on.rule.needs: found[on.rule.needs](rng, n)}
        yield RuleInput(record, alive, on.config, evidence)


def _labels(rng: np.random.Generator, n: int) -> Objects:
    corners = rng.uniform(0, 50, (n, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 50, (n, 2))], axis=1)
    boxes[: n // 3] = boxes[n - n // 3 :]  # some lie on each other
    pixels = rng.random((n, HEIGHT, WIDTH)) < 0.1
    masks = [mask if rng.random() < 0.5 else None for mask in encode(pixels)]
    names = rng.choice(NAMES, n).tolist()
    return Objects.create(names, rng.uniform(0, 1, n), np.minimum(boxes, HEIGHT), mask=masks)


def _units(rng: np.random.Generator, n: int) -> Any:
    vectors = rng.normal(size=(n, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _probabilities(rng: np.random.Generator, n: int) -> Probabilities:
    own, whole = rng.random((2, n))
    other = rng.choice([*NAMES, "background"], n).astype(object)
    return Probabilities(own, rng.uniform(-1, 1, n), other, whole)


def _distances(rng: np.random.Generator, n: int) -> Distances:
    own, ratio = rng.uniform(0, 2, (2, n))
    return Distances(own, ratio, rng.choice(NAMES, n).astype(object))


def _probe(rng: np.random.Generator, n: int) -> ProbeAnswers:
    names = rng.choice([*NAMES, "other"], n).astype(object)
    return ProbeAnswers(names, rng.random(n), frozenset(NAMES))


def answer(on: RuleOn, image: RuleInput) -> Rejected:
    """Ask a rule, and see that the answer has its form.

    Raises:
        ContractError: it has not, or the rule looked at evidence that it does not need.
    """
    n = len(image.record.objects)
    try:
        rejected, figures = on.rule.reject(image, on.option)
    except KeyError as e:
        raise ContractError(f"it looks at {e}, which is not what it needs") from e
    expect(isinstance(rejected, np.ndarray), f"what it rejects is a {type(rejected).__name__}")
    expect(rejected.shape == (n,), f"{n} labels, and an answer of shape {rejected.shape}")
    expect(rejected.dtype == bool, f"what it rejects is {rejected.dtype}, not bool")
    expect(len(figures) == n, f"{n} labels and {len(figures)} figures")
    for i in np.flatnonzero(rejected & image.alive).tolist():
        said = figures[i]
        expect(isinstance(said, str) and said.strip(), f"it rejects a label by {said!r}")
        expect(len(said.splitlines()) == 1, f"a figure of several lines: {said!r}")
    return rejected, figures


def _alive(image: RuleInput, found: Rejected) -> list[tuple[bool, str]]:
    """Return what counts of an answer: whether each label that is alive goes, and the figure."""
    rejected, figures = found
    return [(bool(rejected[i]), figures[i]) for i in np.flatnonzero(image.alive).tolist()]


def form(on: RuleOn) -> None:
    """It says of each label whether it goes, and by which figure."""
    for image in images(on):
        answer(on, image)


def an_image_alone(on: RuleOn) -> None:
    """The answer depends on the image alone, and the image stays as it was."""
    seen = list(images(on))
    before = [pickle.dumps(image) for image in seen]
    first = [answer(on, image) for image in seen]
    expect([*map(pickle.dumps, seen)] == before, "the rule wrote to what it was told")
    for order in orders(len(seen)):
        for i in order:
            same = _alive(seen[i], answer(on, seen[i])) == _alive(seen[i], first[i])
            expect(same, "asked again, or after other images, the rule answers otherwise")


def rejected_labels(on: RuleOn) -> None:
    """Labels that are rejected already take no part."""
    for image in images(on):
        if not image.alive.any():
            continue
        rest = _without_rejected(image)
        same = _alive(rest, answer(on, rest)) == _alive(image, answer(on, image))
        expect(same, "a label that is rejected already changes what the rule says of the others")


def _without_rejected(image: RuleInput) -> RuleInput:
    alive, record = image.alive, image.record
    vectors = {key: vector[alive] for key, vector in (record.vectors or {}).items()}
    record = replace(record, objects=record.objects[alive], vectors=vectors)
    evidence = {name: _rows(found, alive) for name, found in image.evidence.items()}
    return replace(image, record=record, alive=alive[alive], evidence=evidence)


def _rows(evidence: Any, chosen: Any) -> Any:
    columns = {f.name: getattr(evidence, f.name) for f in fields(evidence)}
    arrays = {name: v[chosen] for name, v in columns.items() if isinstance(v, np.ndarray)}
    return replace(evidence, **arrays)


RULE_CHECKS: tuple[Callable[[RuleOn], None], ...] = (form, an_image_alone, rejected_labels)
"""Every promise of a rule; what the docstring of each says is what it checks."""
