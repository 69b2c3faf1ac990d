"""What an audit says: precision and recall of the labels that it was drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autolabel.corrections.decisions import COMPLETE, MISSING, SKIPPED, Decision, Decisions
from autolabel.corrections.fold import standing
from autolabel.metrics.result import Interval
from autolabel.metrics.sampling import recall_estimate, share_interval
from autolabel.ops.pairs import overlapping
from autolabel.review.audit import Audit, audits, is_stale
from autolabel.review.items import judged_by, key_of
from autolabel.store import Layer, Workspace
from autolabel.types import CONFIRMED, DELETED, DRAWN, MOVED

RIGHT_IOU = 0.5
"""Overlap with the box as it was adjusted from which a label is right, as for AP50."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit says so far.

    Attributes:
        name, at, layer, fingerprint: of the audit and the labels that it was drawn from.
        objects: how many labels those are.
        images: on how many images.
        asked: how many labels were drawn.
        right: those whose class and box people found right.
        misplaced: those that stand on an object, with another class or box.
        wrong: the rest of those that were judged.
        cannot_tell: those that people passed over; they count as not drawn.
        photos: images that were drawn to be searched.
        searched: those that were.
        missing: objects without a label on these.
        precision, recall: estimates, None where nothing is known yet.
        precision_interval, recall_interval: 95 %.
        stale: whether the labels have changed since, other than by the audit itself.
    """

    name: str
    at: str
    layer: str
    fingerprint: str
    objects: int
    images: int
    asked: int
    right: int
    misplaced: int
    wrong: int
    cannot_tell: int
    photos: int
    searched: int
    missing: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval
    stale: bool

    @property
    def judged(self) -> int:
        """How many labels were judged."""
        return self.right + self.misplaced + self.wrong

    @property
    def left(self) -> int:
        """How many looks are left."""
        looks = self.judged + self.cannot_tell + self.searched
        return self.asked + self.photos - looks

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "judged": self.judged, "left": self.left}

    def sentences(self) -> list[str]:
        """Say it in words."""
        said = [
            f"{self.judged} of {self.objects:,} labels of {self.layer}/ judged, drawn at random"
        ]
        if self.precision is not None and self.precision_interval:
            low, high = self.precision_interval
            said.append(f"precision {self.precision:.1%}, 95 % interval {low:.1%} to {high:.1%}")
        if self.searched:
            said.append(f"{self.missing} objects without a label on {self.searched} images")
        if self.recall is not None and self.recall_interval:
            low, high = self.recall_interval
            said.append(f"recall about {self.recall:.1%}, 95 % interval {low:.1%} to {high:.1%}")
        if self.left:
            said.append(f"{self.left} looks are left")
        if self.stale:
            said.append("the labels have changed since: draw another audit")
        return said


def audit_result(audit: Audit, decisions: Sequence[Decision], stale: bool) -> AuditResult:
    """Return what an audit says so far.

    Args:
        audit: as it was drawn.
        decisions: all of the workspace, in their order.
        stale: whether the labels have changed since.
    """
    own = [one for one in standing(decisions) if one.audit == audit.name]
    drawn = {key_of(one.image_id, one.label, one.xyxy) for one in audit.sample}
    last = {judged_by(one): one for one in own if one.was is not None}
    kinds = Counter(_judged(one) for key, one in last.items() if key in drawn)
    photos = set(audit.photos)
    done = {one.image_id for one in own if one.action == COMPLETE} & photos
    passed = {one.image_id for one in own if one.action == SKIPPED and one.was is None} - done
    found = Counter(
        one.image_id for one in own if one.action in (MISSING, DRAWN) and one.was is None
    )
    counts = [found[image_id] for image_id in sorted(done)]
    right, misplaced, wrong = (kinds[name] for name in ("right", "misplaced", "wrong"))
    judged = right + misplaced + wrong
    recall, recall_interval = recall_estimate(
        right, misplaced, wrong, audit.objects, counts, audit.images
    )
    return AuditResult(
        audit.name, audit.at, audit.layer, audit.fingerprint, audit.objects, audit.images,
        len(drawn), right, misplaced, wrong, kinds["cannot_tell"], len(photos - passed),
        len(done), sum(counts), right / judged if judged else None,
        share_interval(right, judged, audit.objects), recall, recall_interval, stale,
    )  # fmt: skip


def _judged(decision: Decision) -> str:
    """Return what a decision says of the label that was shown."""
    if decision.action == CONFIRMED:
        return "right"
    if decision.action in (SKIPPED, DELETED):
        return "cannot_tell" if decision.action == SKIPPED else "wrong"
    if decision.action == MOVED and decision.was and decision.xyxy:
        pairs, _, _ = overlapping([decision.was["xyxy"]], [decision.xyxy], RIGHT_IOU)
        return "right" if len(pairs) else "misplaced"
    return "misplaced"


def last_audit(workspace: Workspace, layer: Layer) -> AuditResult | None:
    """Return what the newest audit says in which something was judged; None where none is.

    Args:
        workspace: of the audits.
        layer: the labels as they are now.

    Raises:
        AutolabelError: an audit or a decision is damaged.
    """
    decisions = Decisions(workspace.path).read()
    for audit in reversed(audits(workspace.path)):
        result = audit_result(audit, decisions, stale=False)
        if result.judged or result.searched:
            return audit_result(audit, decisions, is_stale(audit, workspace, layer, decisions))
    return None
