"""The layers that people's decisions make: their own labels, and the machine's with them laid over.

`corrections` holds what people left of each image; `refine_corrections` the same with masks for
boxes that people drew without one (see `autolabel.stages.refine`); `corrected` the newest of the
machine's layers with people's objects over it. The first and the last need neither pixels nor
models: they are made whenever labels are asked for and are not what people said by now.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from autolabel.corrections.decisions import Decisions
from autolabel.corrections.fold import fold
from autolabel.corrections.overlay import overlay
from autolabel.errors import InUseError
from autolabel.ontology import Ontology
from autolabel.ops.relabel import relabelled
from autolabel.stages.history import ontology_of, renamings
from autolabel.stages.table import CORRECTED, CORRECTIONS, REFINED, machine_layers
from autolabel.store import Layer, LayerUpdate, Manifest, Workspace, bound_to
from autolabel.types import ACTIONS, DELETED, Objects

_STAGE = "correct"
_DECISIONS, _PEOPLE = "decisions", "people"  # keys in `origin`


def refresh(workspace: Workspace) -> Layer | None:
    """Bring the layers that hold people's labels up to date; return `corrected`.

    There is none where nobody ever decided. Where the machine's labels are unfinished or stale, or
    another process is writing, it stays as it was.

    Raises:
        AutolabelError: decisions or a shard are damaged, or nothing can be written.
    """
    if not is_current(workspace) and workspace.layer("images").exists:
        with suppress(InUseError), workspace.lock():
            _make(workspace, Decisions(workspace.path).digest())
    layer = workspace.layer(CORRECTED)
    return layer if layer.exists else None


def corrections_by_action(workspace: Workspace) -> dict[str, int]:
    """Return how many objects people drew, moved, relabelled, confirmed and deleted, as it stands.

    What nobody did is left out; where an object was before it moved does not count as deleted.
    """
    layer = workspace.layer(CORRECTIONS)
    counts: Counter[str] = Counter()
    for record in layer.records() if layer.exists else ():
        objects = record.objects
        for keep, correction in zip(objects.keep, objects.correction, strict=True):
            if correction is not None and (keep or correction.action == DELETED):
                counts[correction.action] += 1
    return {action: counts[action] for action in ACTIONS if counts[action]}


def is_current(workspace: Workspace) -> bool:
    """Say whether nothing is left for `refresh` to do."""
    digest = Decisions(workspace.path).digest()
    people, corrected = workspace.layer(CORRECTIONS), workspace.layer(CORRECTED)
    if not digest and not people.exists:
        return True  # nobody ever decided; what was taken back is to go from the layers, too
    if not people.exists or not corrected.exists:
        return False
    source, origin = corrected.manifest.source, corrected.manifest.origin
    return (
        people.manifest.origin.get(_DECISIONS) == digest
        and source is not None
        and source["layer"] == _base(workspace).name
        and origin.get(_PEOPLE) == _fingerprint(workspace)
        and workspace.state(CORRECTIONS).complete
        and workspace.state(CORRECTED).complete
    )


def _make(workspace: Workspace, digest: str) -> None:
    images = workspace.require("images")
    if not workspace.state("images").complete:
        return
    people = fold(Decisions(workspace.path).read())
    manifest = Manifest(_STAGE, origin={_DECISIONS: digest})
    wanted = {
        index: f"{images.digest(index)}+{_digest(images, index, people)}"
        for index in images.shards()
    }
    update = workspace.plan_update(CORRECTIONS, bound_to(manifest, images), wanted, overwrite=True)
    _write(update, images, wanted, lambda index: people, lambda machine, found: found)
    base = _base(workspace)
    if workspace.state(base.name).complete:
        _lay_over(workspace, base)


def _lay_over(workspace: Workspace, base: Layer) -> None:
    corrections, refined = workspace.layer(CORRECTIONS), workspace.layer(REFINED)
    origin = {_PEOPLE: _fingerprint(workspace), "ontology": _ontology(base, corrections)}
    wanted = {}
    for index in base.shards():
        parts = [layer.digest(index) for layer in (corrections, refined) if _has(layer, index)]
        wanted[index] = (
            f"{base.digest(index)}+{hashlib.sha256(''.join(parts).encode()).hexdigest()}"
        )
    update = workspace.plan_update(
        CORRECTED, bound_to(Manifest(_STAGE, origin=origin), base), wanted, overwrite=True
    )

    def people_in(index: int) -> Mapping[str, Objects]:
        drawn = {r.image_id: r.objects for r in refined.read(index)} if _has(refined, index) else {}
        rows = corrections.read(index) if _has(corrections, index) else []
        found = {r.image_id: _masked(r.objects, drawn.get(r.image_id)) for r in rows}
        for _, changes in renamings(base, ()):
            found = {image_id: relabelled(one, changes.new) for image_id, one in found.items()}
        return found

    _write(update, base, wanted, people_in, overlay)


def _write(
    update: LayerUpdate,
    source: Layer,
    wanted: Mapping[int, str],
    people_in: Callable[[int], Mapping[str, Objects]],
    combine: Callable[[Objects, Objects], Objects],
) -> None:
    """Write what an update lacks: the source's rows, combined with people's objects by shard."""
    layer = update.begin()
    for index in update.to_do:
        people = people_in(index)
        layer.write(
            index,
            [
                replace(record, objects=combine(record.objects, people[record.image_id]))
                if record.usable and record.image_id in people
                else record
                for record in source.read(index)
            ],
            wanted[index],
        )
    update.finish()


def _masked(people: Objects, refined: Objects | None) -> Objects:
    """Return people's objects with the masks that were made for the same boxes, where they lack."""
    if refined is None:
        return people
    made = {
        (label, *box): mask
        for label, box, mask in zip(refined.label, refined.xyxy.tolist(), refined.mask, strict=True)
    }
    mask = people.mask.copy()
    for i in np.flatnonzero(people.keep):
        mask[i] = mask[i] or made.get((people.label[i], *people.xyxy[i].tolist()))
    return replace(people, mask=mask)


def _base(workspace: Workspace) -> Layer:
    """Return the layer that people's labels are laid over."""
    return workspace.newest([*machine_layers(), "images"])


def _has(layer: Layer, index: int) -> bool:
    return layer.exists and layer.shard_path(index).is_file()


def _fingerprint(workspace: Workspace) -> str:
    layers = [workspace.layer(name) for name in (CORRECTIONS, REFINED)]
    return " ".join(layer.fingerprint() for layer in layers if layer.exists)


def _ontology(base: Layer, corrections: Layer) -> dict[str, object]:
    """Return the machine's classes and prompts, and after them the classes that people brought."""
    found = Ontology({}) if base.name == "images" else ontology_of(base)
    brought = sorted(name for name, (kept, _) in corrections.classes().items() if kept)
    for _, changes in renamings(base, ()):
        brought = [new for name in brought if (new := changes.new.get(name, name)) is not None]
    return found.with_ids([*found.names, *brought]).to_mapping()


def _digest(images: Layer, index: int, people: Mapping[str, Objects]) -> str:
    sha = hashlib.sha256()
    for image_id in images.table(index, ["image_id"]).column(0).to_pylist():
        if image_id in people:
            objects = people[image_id]
            rows = zip(
                objects.label, objects.xyxy.tolist(), objects.mask, objects.keep.tolist(),
                objects.reason, objects.correction, strict=True,
            )  # fmt: skip
            sha.update(f"{image_id} {list(rows)}".encode())
    return sha.hexdigest()
