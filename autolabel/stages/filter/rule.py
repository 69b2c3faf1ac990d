"""What a rule of the filter is: what it is told, what it answers and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autolabel.config import FilterConfig
from autolabel.ops.arrays import Bools, Floats
from autolabel.stages.filter.evidence import CLIP, DINOV2, Distances, Probabilities, ProbeAnswers
from autolabel.types import Record

Evidence = Literal["probabilities", "distances", "probe"]
"""What the embeddings may say of the labels; see the properties of `RuleInput`."""

EMBEDDER: Mapping[Evidence, str] = {"probabilities": CLIP, "distances": DINOV2, "probe": DINOV2}
"""Evidence -> the embedder that it comes from."""

LEARNED: frozenset[Evidence] = frozenset({"distances", "probe"})
"""Evidence that comes of what is learned over the whole dataset."""


@dataclass(frozen=True, eq=False)
class RuleInput:
    """One image's n labels and what is known of them.

    Attributes:
        record: the image; it has one label at least.
        alive: labels that nothing has rejected yet, (n,). The others take no part: what a rule
            says of them does not count, and they are no reason to reject another.
        config: all options of the filter.
        evidence: what the embeddings say, as far as there are embedders.
    """

    record: Record
    alive: Bools
    config: FilterConfig
    evidence: Mapping[Evidence, Any]

    @property
    def probabilities(self) -> Probabilities:
        """What CLIP says; for rules that need `probabilities`."""
        found: Probabilities = self.evidence["probabilities"]
        return found

    @property
    def distances(self) -> Distances:
        """What the prototypes say; for rules that need `distances`."""
        found: Distances = self.evidence["distances"]
        return found

    @property
    def probe(self) -> ProbeAnswers:
        """What the probe on example crops says; for rules that need `probe`."""
        found: ProbeAnswers = self.evidence["probe"]
        return found

    @property
    def sides_wh(self) -> Floats:
        """Width and height of each box in pixels, (n, 2)."""
        boxes = self.record.objects.xyxy.astype(np.float64)
        sides: Floats = boxes[:, 2:] - boxes[:, :2]
        return sides


Rejected = tuple[Bools, Sequence[str]]
"""Which labels a rule rejects, (n,), and for each the figure that does it, as `0.12 < 0.5`."""


Reject = Callable[[RuleInput, Any], Rejected]
"""Gets an image and the value of the rule's option."""


@dataclass(frozen=True)
class Rule:
    """A rule: it looks at the labels of one image and says which go, and why.

    What it says of an image depends on that image and on the options alone.

    Attributes:
        reject: the rule itself.
        needs: evidence without which it is not asked.
        option: what its option may be, in a package's rule: a type that pydantic checks, a number
            by default; several options are the fields of a `Config`. That of a built-in rule is a
            field of `FilterConfig`.
    """

    reject: Reject
    needs: Evidence | None = None
    option: Any = float


def under(values: Any, limit: Any, unit: str = "", digits: str = ".2f") -> Rejected:
    """Reject what is below a limit.

    Args:
        values: (n,).
        limit: one for all, or (n,).
        unit: that of both, with its space.
        digits: format of a value in the figure.
    """
    limits = np.broadcast_to(np.asarray(limit, np.float64), np.shape(values))
    figures = [f"{v:{digits}}{unit} < {x:g}" for v, x in zip(values, limits, strict=True)]
    return np.asarray(values) < limits, figures


def over(values: Any, limit: float, unit: str = "", digits: str = ".2f") -> Rejected:
    """Reject what is above a limit; the arguments are those of `under`."""
    return np.asarray(values) > limit, [f"{v:{digits}}{unit} > {limit:g}" for v in values]
