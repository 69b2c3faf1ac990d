"""The speed of the teacher: what is timed, and over which photos."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autolabel.config import EngineConfig
from autolabel.evaluate import speed as speed_of
from autolabel.types import Record

PHOTOS = [Record(str(i), f"{i}.png", 4, 4, pixels=np.zeros((4, 4, 3), np.uint8)) for i in range(8)]


class Clock:
    """Time that passes only where models work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(speed_of.time, "perf_counter", lambda: self.now)

    def work(self, batch: Sequence[Any], seconds_each: float) -> list[Any]:
        self.now += len(batch) * seconds_each
        return list(batch)


class Stage:
    """Takes so many seconds for a photo, of those that it wants."""

    def __init__(self, clock: Clock, seconds: float, wanted: Sequence[Record]) -> None:
        self.clock, self.seconds, self.wanted = clock, seconds, [r.image_id for r in wanted]

    def wants(self, record: Record) -> bool:
        return record.image_id in self.wanted

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        return self.clock.work(batch, self.seconds)


def test_the_teachers_speed_counts_the_share_of_photos_that_each_stage_works_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    stages = [
        ("detect", Stage(clock, 0.1, PHOTOS), PHOTOS),
        ("refine", Stage(clock, 0.4, PHOTOS[:2]), PHOTOS),  # a quarter of them have boxes
        ("clip", Stage(clock, 9.0, []), PHOTOS),  # and it has nothing to do
    ]
    small = SimpleNamespace(predict=lambda batch, **options: clock.work(batch, 0.01))
    monkeypatch.setattr(speed_of, "existing_root", lambda home: None)
    monkeypatch.setattr(speed_of, "_photos", lambda *asked: PHOTOS)
    monkeypatch.setattr(speed_of, "_stages", lambda *asked: iter(stages))
    monkeypatch.setattr(speed_of, "load_trained", lambda student, device: small)
    student: Any = SimpleNamespace(name="small")
    timed = speed_of.time_all(
        None, None, [(student, 0.5)], set(), EngineConfig(device="cpu"), most=8
    )  # type: ignore[arg-type]
    assert timed is not None
    speed, raw = timed
    seconds = 0.1 + 0.4 / 4
    assert speed.teacher == pytest.approx(1 / seconds)
    assert raw == pytest.approx(10)
    assert speed.students == {"small": pytest.approx(100)}
    assert speed.times_faster == {"small": pytest.approx(seconds / 0.01)}
