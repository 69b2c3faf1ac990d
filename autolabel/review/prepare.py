"""From options to a review: which labels, what is asked of them, and what an audit says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autolabel.config import EngineConfig, ReviewConfig
from autolabel.corrections.decisions import Decisions
from autolabel.errors import AutolabelError
from autolabel.review.audit import Audit, audits, draw, is_stale
from autolabel.review.audit_result import AuditResult, audit_result
from autolabel.review.items import queued
from autolabel.review.queue import ASKS_STUDENT
from autolabel.review.session import Session, login_name
from autolabel.review.student import ask_student
from autolabel.stages.labels import Say, chosen_labels, quiet
from autolabel.store import Layer, Workspace


@dataclass(frozen=True)
class Review:
    """A review that can begin, or go on where it was.

    Attributes:
        session: what is asked and said.
        queue: in which order, in words.
        result: what the audit says so far; None where this is none.
    """

    session: Session
    queue: str
    result: Callable[[], AuditResult | None]

    def as_json(self) -> dict[str, Any]:
        """Return how far it is, and what the audit says, as JSON values."""
        at, result = self.session.progress(), self.result()
        shown: dict[str, Any] = {
            "queue": self.queue, "layer": self.session.layer.name, "done": at.done,
            "skipped": at.skipped, "total": at.total,
        }  # fmt: skip
        return shown | ({"audit": result.as_json()} if result else {})


def prepare(
    workspace: Workspace, config: ReviewConfig, say: Say = quiet, *, allow_unfinished: bool = False
) -> Review:
    """Choose labels and what is asked of them.

    Args:
        workspace: has labels.
        config: what is asked.
        say: called with a line for people.
        allow_unfinished: whether labels that are unfinished or stale will do.

    Raises:
        AutolabelError: there are no labels, or none to look at.
    """
    labels = chosen_labels(
        workspace, config.layer, allow_unfinished=allow_unfinished, flag="--layer", say=say
    )
    layer, who = labels.layer, config.by.strip() or login_name()
    classes = labels.ontology.names
    if config.audit is not None:
        audit = _audit(workspace, layer, config, say)
        session = Session(workspace, layer, audit.items(), classes, who=who, audit=audit.name)
        return Review(session, audit.name, lambda: result_of(audit, workspace, layer))
    if config.queue in ASKS_STUDENT:
        ask_student(workspace, layer, EngineConfig(), say=say)
    items = queued(workspace, layer, config.queue, config.limit, config.seed)
    if not items:
        raise AutolabelError(
            f"there is nothing to look at in {layer.name}/ with --queue {config.queue}",
            hint="name another --queue: random takes every label that nobody has judged",
        )
    return Review(Session(workspace, layer, items, classes, who=who), config.queue, lambda: None)


def result_of(audit: Audit, workspace: Workspace, layer: Layer) -> AuditResult:
    """Return what an audit says so far.

    Raises:
        AutolabelError: a decision is damaged.
    """
    decisions = Decisions(workspace.path).read()
    return audit_result(audit, decisions, is_stale(audit, workspace, layer, decisions))


def _audit(workspace: Workspace, layer: Layer, config: ReviewConfig, say: Say) -> Audit:
    """Return the last audit, where it is of these labels and as large, else a new one."""
    wanted = config.audit or 0
    earlier = audits(workspace.path)
    if earlier and (earlier[-1].wanted, earlier[-1].seed) == (wanted, config.seed):
        if not result_of(earlier[-1], workspace, layer).stale:
            return earlier[-1]
        say(f"the labels have changed since {earlier[-1].name}: another sample is drawn")
    return draw(workspace, layer, wanted, config.seed)
