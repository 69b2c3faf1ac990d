"""What every stage must do: the same images in the same order, each judged by itself."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from autolabel.config import Config
from autolabel.engine.base import Preparing, Stage
from autolabel.ontology import Ontology
from autolabel.plugins import named
from autolabel.registry import Located
from autolabel.registry.catalogue import TASKS
from autolabel.stages.table import StageEntry
from autolabel.testing.batches import blobs
from autolabel.testing.expect import ContractError, expect
from autolabel.types import Objects, Record

CLASSES = ("cat", "dog")


def check_stage(
    entry: StageEntry,
    config: Config,
    *,
    records: Sequence[Record] | None = None,
    models: Mapping[str, Located] | None = None,
    device: str = "cpu",
) -> None:
    """Check a stage that reads a layer against what `StageEntry` and the engines expect.

    Args:
        entry: what the package registers.
        config: options under which it has something to do.
        records: some that it wants, with their pixels; by default four photos of coloured blobs
            with a cat and a dog each.
        models: option -> files of the models that it loads.
        device: where they run.

    Raises:
        ContractError: a promise is not kept.
    """
    says_what_it_is(entry)
    expect(pickle.loads(pickle.dumps(config)) == config, "its options cannot be sent on")
    try:
        stage = entry.make(config, Ontology.from_prompts(CLASSES), models or {}, device)
    except (ImportError, AttributeError) as e:
        raise ContractError(f"{entry.stage} cannot be made: {e}") from e
    wanted = [r for r in (_photos() if records is None else records) if stage.wants(r)]
    expect(wanted, "it wants none of the records")
    _maps(stage, wanted)


def says_what_it_is(entry: StageEntry) -> None:
    """The row fits its options, and can be sent to another process."""
    expect(re.fullmatch(r"[a-z][a-z0-9-]*", entry.name), f"{entry.name!r} is not a command's name")
    expect(entry.reads or entry.run_by, "it reads no layer, and does not say what runs it")
    expect(entry.stage or entry.run_by, "it names neither a class nor what runs it")
    expect((entry.config.__doc__ or "").strip(), "its options do not say what they are about")
    for option, task in entry.models.items():
        expect(option in entry.config.model_fields, f"its options have no {option!r}")
        expect(task in TASKS, f"there is no task {task!r}")
        how = f"{option} is not in HOW: a layer is bound to a model's revision, not to its name"
        expect(option in entry.config.HOW, how)
    for name, field in entry.config.model_fields.items():
        expect((field.description or "").strip(), f"option {name} has no description")
    expect(pickle.loads(pickle.dumps(entry)) == entry, "the row cannot be sent to another process")
    for target in filter(
        None, (entry.stage, entry.run_by, entry.bound_by, entry.checked_by, entry.timed_by)
    ):
        try:
            named(target)
        except (ImportError, AttributeError) as e:
            raise ContractError(f"{target} cannot be imported: {e}") from e


def _maps(stage: Stage, records: Sequence[Record]) -> None:
    """Records to records, of the same images and order, each by itself, and nothing else."""
    before = [record.image().copy() for record in records]
    given = pickle.dumps([replace(record, pixels=None) for record in records])
    together = _call(stage, records)
    expect(len(together) == len(records), f"{len(records)} images in, {len(together)} out")
    same = [record.image_id for record in together] == [record.image_id for record in records]
    expect(same, "the images come out in another order")
    unwritten = all(map(np.array_equal, before, (record.image() for record in records)))
    after = pickle.dumps([replace(record, pixels=None) for record in records])
    expect(unwritten and given == after, "it writes to the records that it is given")
    expect(_equal(together, _call(stage, records)), "it answers otherwise the second time")
    alone = [made for record in records for made in _call(stage, [record])]
    expect(_equal(together, alone), "what it says of an image depends on those beside it")


def _call(stage: Stage, records: Sequence[Record]) -> list[Record]:
    if isinstance(stage, Preparing):
        records = [stage.prepare(record) for record in records]
    return stage(records)


def _equal(some: Sequence[Record], others: Sequence[Record]) -> bool:
    bare = ([replace(record, pixels=None) for record in side] for side in (some, others))
    return next(bare) == next(bare)


def _photos() -> list[Record]:
    boxes = [[4, 4, 30, 30], [40, 10, 90, 60]]
    return [
        Record(
            f"{i:032x}", f"{i}.png", 96, 64,
            objects=Objects.create(CLASSES, [0.9, 0.4], boxes), pixels=blobs(96, 64, i),
        )
        for i in range(4)
    ]  # fmt: skip
