"""The built-in rules keep the contract by being registered; a faulty rule is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autolabel.config import FilterConfig
from autolabel.stages.filter import RULES, Rejected, Rule, RuleInput
from autolabel.testing import ContractError, check_rule
from autolabel.testing.filter_rule import RULE_CHECKS, RuleOn

SOME = {bool: True, float: 0.5, str: "any"}
"""Type of an option -> a value with which a rule is on."""


@pytest.mark.parametrize("name", RULES.built_in)
def test_the_built_in_rules(name: str) -> None:
    kind = FilterConfig.model_fields[name].annotation
    check_rule(name, SOME[kind])


def low(image: RuleInput, limit: float) -> Rejected:
    scores = image.record.objects.score
    return scores < limit, [f"{score:.2f} < {limit:g}" for score in scores]


def far(image: RuleInput, limit: float) -> Rejected:
    return image.distances.own > limit, ["far"] * len(image.alive)


def test_rules_that_keep_it() -> None:
    for rule in (Rule(low), Rule(far, needs="distances")):
        keeps(rule)


def keeps(rule: Rule) -> None:
    for check in RULE_CHECKS:
        check(RuleOn(rule, 0.5, FilterConfig()))


def as_numbers(image: RuleInput, limit: float) -> Rejected:
    return image.record.objects.score, [""] * len(image.alive)


def as_list(image: RuleInput, limit: float) -> Any:
    rejected, figures = low(image, limit)
    return rejected.tolist(), figures


def of_the_first(image: RuleInput, limit: float) -> Rejected:
    rejected, figures = low(image, limit)
    return rejected[:1], figures


def without_figures(image: RuleInput, limit: float) -> Rejected:
    return low(image, limit)[0], []


def without_words(image: RuleInput, limit: float) -> Rejected:
    return low(image, limit)[0], [""] * len(image.alive)


def in_lines(image: RuleInput, limit: float) -> Rejected:
    rejected, figures = low(image, limit)
    return rejected, [f"{figure}\n" * 2 for figure in figures]


def scribbles(image: RuleInput, limit: float) -> Rejected:
    found = low(image, limit)
    image.record.objects.score[:] = 0
    return found


def remembers() -> Callable[..., Rejected]:
    seen: list[str] = []

    def rule(image: RuleInput, limit: float) -> Rejected:
        rejected, figures = low(image, limit)
        seen.append(image.record.image_id)
        return rejected | (len(seen) % 5 == 0), figures

    return rule


def counts_the_rejected(image: RuleInput, limit: float) -> Rejected:
    n = len(image.alive)
    return np.full(n, n > 3), [f"{n} > 3"] * n


@pytest.mark.parametrize(
    ("reject", "said"),
    [
        (as_numbers, "is float32, not bool"),
        (as_list, "is a list"),
        (of_the_first, "answer of shape"),
        (without_figures, "0 figures"),
        (without_words, "by ''"),
        (in_lines, "several lines"),
        (far, "looks at 'distances'"),
        (scribbles, "wrote to what it was told"),
        (remembers(), "answers otherwise"),
        (counts_the_rejected, "already changes"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_faulty_rule_is_caught(reject: Callable[..., Rejected], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        keeps(Rule(reject))
