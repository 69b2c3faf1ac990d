"""What a workspace holds beyond its layers: classes, photos that fail, students and exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from autolabel.datasets.export import exports_of
from autolabel.errors import AutolabelError
from autolabel.stages.history import ontology_of
from autolabel.stages.labels import classes_of
from autolabel.store import Layer, LayerState, Workspace
from autolabel.train.folder import COMPLETE, RUN, read_run

CURRENT, STALE, UNFINISHED = "current", "stale", "unfinished"


def counts_by_class(layer: Layer) -> dict[str, dict[str, int]]:
    """Return class -> how many labels are kept and how many rejected, in the order of their ids."""
    found = layer.classes()
    names = [*classes_of(Workspace(layer.path.parent), layer).names]
    names += sorted(found.keys() - set(names))
    counted = ((name, *found.get(name, (0, 0))) for name in names)
    return {name: {"kept": kept, "rejected": rejected} for name, kept, rejected in counted}


def standing(layer: Layer) -> dict[str, int]:
    """Return class -> kept labels on photos that stages work on, in the order of the ids."""
    labels = (r.objects.label[r.objects.keep] for r in layer.records() if r.usable)
    found = Counter(str(name) for of_image in labels for name in of_image)
    return {name: found[name] for name in ontology_of(layer).names}


def problems_of(workspace: Workspace) -> dict[str, list[dict[str, str]]]:
    """Return layer -> the files that failed there first, each with the reason, in order."""
    seen: set[tuple[str, str]] = set()
    problems: dict[str, list[dict[str, str]]] = {}
    for layer in workspace.layers():
        if layer.name == "scan" and workspace.layer("images").exists:
            continue  # which has the same rows, and is what people know
        fresh = [p for p in dict.fromkeys(failed(workspace, layer)) if p not in seen]
        seen.update(fresh)
        if fresh:
            problems[layer.name] = [{"file": file, "reason": reason} for file, reason in fresh]
    return problems


def failed(workspace: Workspace, layer: Layer) -> Iterator[tuple[str, str]]:
    """Yield (file, reason) of each row with an error, in order."""
    source = layer.manifest.source
    for index in layer.shards():
        reasons = layer.table(index, ["error"]).column(0)
        if reasons.null_count == len(reasons):
            continue
        named = workspace.layer(source["layer"]) if layer.holds_vectors and source else layer
        files = named.table(index, ["uri"]).column(0).to_pylist()
        for file, reason in zip(files, reasons.to_pylist(), strict=False):
            if reason is not None:
                yield file, reason


def newly_failed(workspace: Workspace, layer: Layer) -> list[tuple[str, str]]:
    """Return (file, reason) of the rows with an error that the layer's source does not have."""
    source = layer.manifest.source
    before = workspace.layer(source["layer"]) if source else None
    known = set(failed(workspace, before)) if before and before.name != "scan" else set()
    return [p for p in dict.fromkeys(failed(workspace, layer)) if p not in known]


def students_of(workspace: Workspace) -> list[dict[str, Any]]:
    """Tell of every student in ``train/`` what it learned from, and whether that is as it was."""
    whole = {state.layer.name: state for state in workspace.states()}
    rows = []
    for path in sorted(workspace.path.glob(f"train/[!.]*/{RUN}")):
        run = read_run(path.parent)
        layer = str(run.get("layer"))
        trained = run.get("state") == COMPLETE
        same = _is_same(whole.get(layer), run.get("layer_fingerprint"))
        rows.append(
            {
                "name": path.parent.name,
                "state": (CURRENT if same else STALE) if trained else UNFINISHED,
                "layer": layer,
                "epochs_done": run.get("epochs_done"),
                "epochs": _mapping(run.get("settings")).get("epochs"),
            }
        )
    return rows


def exports_known(workspace: Workspace) -> list[dict[str, Any]]:
    """Tell of every known export where it is, and whether its labels are as they were."""
    whole = {state.layer.name: state for state in workspace.states()}
    rows = []
    for out, marker in exports_of(workspace):
        layer = str(marker.get("layer"))
        same = _is_same(whole.get(layer), _mapping(marker.get("binding")).get("fingerprint"))
        state = CURRENT if same else STALE
        if marker.get("to_retry") or not marker["whole"]:
            state = UNFINISHED
        noted = _mapping(marker.get("splits"))
        splits = {str(name): n for name, n in noted.items() if isinstance(n, int)}
        rows.append(
            {
                "out": str(out),
                "format": marker.get("format"),
                "state": state,
                "layer": layer,
                "images": sum(splits.values()),
                "splits": splits,
                "objects": marker.get("objects"),
            }
        )
    return rows


def _mapping(value: object) -> dict[str, Any]:
    """Return what a note holds, which anybody may have written."""
    return value if isinstance(value, dict) else {}


def _is_same(state: LayerState | None, fingerprint: object) -> bool:
    """Say whether a layer is up to date, and has just the content that something is made from."""
    try:
        return state is not None and state.complete and state.layer.fingerprint() == fingerprint
    except AutolabelError:
        return False
