"""One review: what is asked, in which order, what has been said, and by whom."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock

from autolabel.corrections.decisions import SKIPPED, UNDONE, Decision, Decisions, line_of
from autolabel.corrections.fold import standing
from autolabel.review.answer import REVIEW, Answer, decided
from autolabel.review.items import Item, judged_by
from autolabel.store import Layer, Rows, Workspace, not_writable
from autolabel.types import Record

LEASE_SECONDS = 120
"""For so long, what one tab shows is not handed to another one, while there is something else."""

_ID = re.compile(r"[0-9a-f]{32}")


class ConflictError(Exception):
    """Somebody has decided on it already.

    Attributes:
        said: what.
    """

    def __init__(self, said: Decision) -> None:
        super().__init__(f"{said.who or 'somebody'} decided on it already")
        self.said = said


@dataclass(frozen=True)
class Progress:
    """How far a review is.

    Attributes:
        done: how much of what is asked was decided on.
        skipped: how much was passed over.
        total: how much is asked.
    """

    done: int
    skipped: int
    total: int

    @property
    def left(self) -> int:
        """How much is left."""
        return self.total - self.done - self.skipped


class Session:
    """The state behind the page; every method may be called by several threads at once.

    What was said is in the workspace's decisions alone, which other processes may add to: they are
    read again whenever their files have changed.

    Args:
        workspace: of the labels.
        layer: the labels, as a snapshot.
        items: what is asked, in order.
        classes: names that a label may have.
        who: whose decisions these are, where a decision does not say.
        audit: name of the audit that this is, or None.
    """

    def __init__(
        self,
        workspace: Workspace,
        layer: Layer,
        items: Sequence[Item],
        classes: Sequence[str],
        *,
        who: str | None = None,
        audit: str | None = None,
    ) -> None:
        self.layer, self.classes, self.who, self.audit = layer, tuple(classes), who, audit
        self.fingerprint = layer.fingerprint()
        self.items = {item.key: item for item in items}
        self.rows = Rows(layer, {item.image_id for item in items})
        self.items = {key: item for key, item in self.items.items() if item.image_id in self.rows}
        self.decisions = Decisions(workspace.path)
        self._lock = threading.RLock()
        self._leases: dict[str, tuple[str, float]] = {}
        self._seen: dict[str, tuple[int, int]] | None = None
        self._read()
        if not audit:  # what was passed over in an earlier review comes last
            later = [key for key in self.items if key in self._skips]
            self.items |= {key: self.items.pop(key) for key in later}
            self._earlier_skips = {self._skips[key].id for key in later}

    _earlier_skips: frozenset[str] | set[str] = frozenset()

    # -- what was said ----------------------------------------------------------------------

    def _read(self) -> None:
        """Read the decisions, where their files have changed since."""
        signature = self._signature()
        if signature == self._seen:
            return
        every = self.decisions.read()
        self._known = {one.id: one for one in every}
        self._standing = {one.id: one for one in standing(every)}
        self._index()
        self._seen = signature

    def _index(self) -> None:
        self._said, self._skips = dict[str, Decision](), dict[str, Decision]()
        self._by_image = defaultdict[str, list[Decision]](list)
        for one in self._standing.values():
            self._note(one)

    def _note(self, one: Decision) -> None:
        self._by_image[one.image_id].append(one)
        if (self.audit is None or one.audit == self.audit) and decided(one):
            (self._skips if one.action == SKIPPED else self._said)[judged_by(one)] = one

    def _signature(self) -> dict[str, tuple[int, int]]:
        """Return size and date of the files of decisions."""
        path = self.decisions.path
        stats = {one.name: one.stat() for one in path.glob("*.jsonl")} if path.is_dir() else {}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    def _append(self, decision: Decision) -> None:
        before = self._signature()
        self.decisions.append(decision)
        after = self._signature()
        if not _grew_by(len(line_of(decision)), before, after) or before != self._seen:
            self._read()
            return
        self._known[decision.id] = decision
        if decision.action == UNDONE:
            self._standing.pop(decision.undoes or "", None)
            self._index()
        else:
            self._standing[decision.id] = decision
            self._note(decision)
        self._seen = after

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other threads and other reviews from deciding meanwhile."""
        path = self.decisions.path
        lock = FileLock(path / ".review.lock")
        with self._lock:
            try:
                path.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except OSError as e:
                raise not_writable(path, e) from e
            try:
                yield
            finally:
                lock.release()

    def is_open(self, key: str) -> bool:
        """Tell whether something was neither decided on nor passed over in this review."""
        skip = self._skips.get(key)
        return key not in self._said and (skip is None or skip.id in self._earlier_skips)

    def progress(self) -> Progress:
        """Return how far the review is."""
        with self._lock:
            done = sum(key in self._said for key in self.items)
            left = sum(map(self.is_open, self.items))
            return Progress(done, len(self.items) - done - left, len(self.items))

    def said_of(self, image_id: str) -> list[Decision]:
        """Return the standing decisions about an image, in their order."""
        with self._lock:
            return list(self._by_image.get(image_id, ()))

    # -- what is asked ----------------------------------------------------------------------

    def next(self, tab: str, count: int = 1) -> list[Item]:
        """Return what a tab shows next, the first of which it may show already.

        Nothing that another tab shows, unless there is nothing else.

        Args:
            tab: name of the tab.
            count: at most so many.
        """
        with self._lock:
            self._read()
            open_ = [key for key in self.items if self.is_open(key)]
            return self._lease(tab, open_, count)

    def grid(self, tab: str, label: str, count: int) -> list[Item]:
        """Return what is asked of one class, as `next`."""
        with self._lock:
            self._read()
            items = self.items.items()
            of_class = [k for k, i in items if i.label == label and self.is_open(k)]
            return self._lease(tab, of_class, count)

    def _lease(self, tab: str, keys: Iterable[str], count: int) -> list[Item]:
        now = time.monotonic()
        self._leases = {k: v for k, v in self._leases.items() if v[1] > now}
        keys = list(keys)
        free = [k for k in keys if self._leases.get(k, (tab, 0))[0] == tab]
        chosen = (free or keys)[:count]
        for key in chosen:
            if self._leases.get(key, (tab, 0))[0] == tab:
                self._leases[key] = tab, now + LEASE_SECONDS
        return [self.items[key] for key in chosen]

    def item(self, key: str) -> Item | None:
        """Return what is asked under a key."""
        return self.items.get(key)

    def record(self, image_id: str) -> Record | None:
        """Return an image of the review as the layer has it; None where it is none of these."""
        with self._lock:
            return self.rows.record(image_id) if image_id in self.rows else None

    # -- what is said -----------------------------------------------------------------------

    def decide(self, answer: Answer) -> Decision:
        """Record what a person said; it is on disk when this returns.

        The same answer, sent again, is recorded once.

        Raises:
            ConflictError: another decision on it stands.
            ValueError: it does not fit what was asked.
            AutolabelError: it cannot be written.
        """
        if not _ID.fullmatch(answer.id):
            raise ValueError("id must be 32 hexadecimal digits")
        with self._writing():
            self._read()
            if answer.id in self._known:
                return self._known[answer.id]
            item = self.items.get(answer.key)
            record = self.record(item.image_id) if item else None
            if item is None or record is None:
                raise ValueError("this review does not ask that")
            decision = answer.decision(item, record, self)
            if decided(decision):
                earlier = self._said.get(item.key)
                if earlier is not None:
                    raise ConflictError(earlier)
            self._append(decision)
            self._leases.pop(item.key, None)
            return decision

    def undo(self, new_id: str, undoes: str, who: str | None = None) -> Item | None:
        """Take a decision of this page back; return what it was about, where that is asked here.

        Raises:
            ValueError: there is no such decision of a review.
            AutolabelError: it cannot be written.
        """
        if not _ID.fullmatch(new_id):
            raise ValueError("id must be 32 hexadecimal digits")
        with self._writing():
            self._read()
            one = self._known.get(undoes)
            if one is None or one.via != REVIEW or one.action == UNDONE or one.audit != self.audit:
                raise ValueError("there is no such decision to undo")
            if undoes in self._standing and new_id not in self._known:
                back = Decision(
                    image_id=one.image_id, action=UNDONE, via=REVIEW, undoes=undoes,
                    who=who or self.who, audit=self.audit, id=new_id,
                )  # fmt: skip
                self._append(back)
            return self.items.get(judged_by(one))


def _grew_by(
    size: int, before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> bool:
    """Tell whether one file is longer by so many bytes, and all else is as before."""
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if len(changed) != 1 or changed[0] not in after:
        return False
    return after[changed[0]][0] - before.get(changed[0], (0, 0))[0] == size


def login_name() -> str | None:
    """Return the name of whoever runs this process, where the system knows it."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return os.environ.get("USER") or None
