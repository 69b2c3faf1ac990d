from __future__ import annotations

import pytest

from autolabel.config import FilterConfig
from autolabel.errors import UsageError
from autolabel.stages.filter import RULES, active


def test_rules_that_cannot_be() -> None:
    for rules, message in [
        (("min_scores",), "there is no rule 'min_scores'"),
        (("min_side", "min_side"), "named twice"),
        (("border",), "named but off"),
    ]:
        with pytest.raises(UsageError, match=message):
            active(FilterConfig(rules=rules, min_side=5))
    with pytest.raises(UsageError, match="clip_margin needs an embedder"):
        active(FilterConfig(clip_margin=0.1))


def test_every_rule_is_off_by_default_and_is_an_option() -> None:
    assert active(FilterConfig()) == []
    assert set(RULES.built_in) < set(FilterConfig.model_fields)
