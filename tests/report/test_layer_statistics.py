from __future__ import annotations

from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from autolabel.report.layer_statistics import layer_statistics
from autolabel.report.records import records_at
from autolabel.store import Manifest, Workspace
from autolabel.types import Objects, Record

RULES = ("", "min_side: 3 < 6", "clip_margin: -0.9 < -0.8: odd\nname", "clip_margin: 1 < 2")
ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(RULES)), max_size=4)


def record(i: int, rows: list[tuple[str, str]], *, error: str | None = None) -> Record:
    n = len(rows)
    objects = Objects.create(
        [label for label, _ in rows],
        np.linspace(0, 1, n),
        np.tile([0.0, 0, 5, 5], (n, 1)),
        keep=[not reason for _, reason in rows],
        reason=[reason or None for _, reason in rows],
    )
    return Record(f"{i:032x}", f"{i}.png", 10, 10, error=error, objects=objects)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=st.lists(st.tuples(ROWS, st.booleans()), max_size=12), most=st.integers(0, 3))
def test_counts_are_those_of_the_records(
    images: list[tuple[list[tuple[str, str]], bool]],
    most: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    layer = Workspace(tmp_path_factory.mktemp("ws")).layer("detect")
    layer.path.mkdir()
    layer.write_manifest(Manifest("detect"))
    records = [
        record(i, [] if bad else rows, error="damaged" if bad else None)
        for i, (rows, bad) in enumerate(images)
    ]
    for shard, at in enumerate(range(0, len(records), 3)):
        layer.write(shard, records[at : at + 3], None)
    done = layer_statistics(layer, crops=most, images=most)
    rows = [row for rows, bad in images if not bad for row in rows]
    kept = Counter(label for label, reason in rows if not reason)
    lost = Counter((reason.partition(":")[0], label) for label, reason in rows if reason)
    assert +done.kept == kept
    assert +done.rejected == lost
    assert (done.images, done.usable) == (len(images), sum(not bad for _, bad in images))
    assert done.errors.total() == sum(bad for _, bad in images)
    assert done.failed == [(r.uri, "damaged") for r in records if r.error]
    assert done.empty == sum(r.usable and not r.objects.keep.any() for r in records)
    groups = {("", label): count for label, count in kept.items()}
    for (rule, _), count in lost.items():
        groups[rule, ""] = groups.get((rule, ""), 0) + count
    assert {k: len(v) for k, v in done.shown.items() if v} == {
        k: min(n, most) for k, n in groups.items() if most
    }
    for (rule, label), places in done.shown.items():
        assert len({(p.shard, p.row, p.index) for p in places}) == len(places)
        for place, found in records_at(layer, places):
            objects = found.objects
            if rule:
                assert str(objects.reason[place.index]).partition(":")[0] == rule
            else:
                assert (objects.label[place.index], objects.keep[place.index]) == (label, True)
    assert len(done.images_shown) <= most


def test_every_label_is_as_likely_to_be_shown(tmp_path: Path) -> None:
    layer = Workspace(tmp_path).layer("detect")
    layer.path.mkdir()
    layer.write_manifest(Manifest("detect"))
    for shard in range(20):
        layer.write(shard, [record(100 * shard + i, [("a", "")]) for i in range(50)], None)
    shards = [p.shard for p in layer_statistics(layer, crops=200, images=0).shown["", "a"]]
    assert set(shards) == set(range(20))
    assert max(Counter(shards).values()) < 25
