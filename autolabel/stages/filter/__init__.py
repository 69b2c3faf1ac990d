"""The stage `filter`: which labels stay, each rejection with its reason.

    config ──> active rules ─────────────────┐
    labels ──> embed/clip, embed/dinov2 ──> fit ──> rules on one image at a time ──> filter/
                                             │
               text vectors, prototypes, probe on examples: kept beside the embeddings

One file for each job:

- `rule`: what a rule is; `rules`: the built-in ones; `table`: with those of plugins, which are on;
- `evidence`: what the embeddings say of each label, by `texts`, `prototypes` and `examples`;
- `apply`: the rules and their evidence on one image;
- `fit`: what needs the whole layer, embedded or learned once and kept;
- `stage`: the class and the run over a workspace; `trial`: its dry run.
"""

from autolabel.stages.filter.rule import Rejected, Rule, RuleInput
from autolabel.stages.filter.stage import (
    Filter,
    bound,
    check,
    embedders,
    filter_labels,
    source_of,
)
from autolabel.stages.filter.table import RULES, active, option_of
from autolabel.stages.filter.trial import Trial, try_rules

__all__ = [
    "RULES",
    "Filter",
    "Rejected",
    "Rule",
    "RuleInput",
    "Trial",
    "active",
    "bound",
    "check",
    "embedders",
    "filter_labels",
    "option_of",
    "source_of",
    "try_rules",
]
