"""How the labels came about: stages, models, settings that were changed, and the commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from autolabel import __version__, reading, registry
from autolabel.config import Config, RelabelConfig, build, class_changes
from autolabel.config.classes import ClassChanges
from autolabel.config.train import TrainConfig
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.stages.table import STAGES, label_layers
from autolabel.store import Counts, Layer, Manifest, Workspace

RELABEL = "relabel"
"""The stage that gives classes other names."""
BEFORE = "classes"
"""Key in the `origin` of its layer: the classes that it gave other names, in their order."""

_SHORT = 12


@dataclass(frozen=True)
class Model:
    """A model that a stage used."""

    name: str
    revision: str


@dataclass(frozen=True)
class StageRun:
    """One stage, as its layer's manifest tells.

    Attributes:
        labels: whether the layer holds labels.
        changed: option -> value, where it is not the default.
        settings: every setting that shaped the layer.
    """

    layer: str
    stage: str
    labels: bool
    version: str
    models: tuple[Model, ...]
    changed: dict[str, Any]
    settings: dict[str, Any]
    counts: Counts


def stage_runs(workspace: Workspace, newest: Layer) -> list[StageRun]:
    """Return the stages that `newest` came through, first to last."""
    made = reversed(workspace.ancestry(newest))
    return [_run(layer, m) for layer in made if (m := layer.manifest).stage in STAGES]


def changes_elsewhere(
    workspace: Workspace, newest: Layer, elsewhere: Workspace
) -> Iterator[list[str]]:
    """Yield in what the layers of another workspace differ from those that `newest` came through.

    What was ingested is another thing there; layers that are not there are passed over.
    """
    for layer in reversed(workspace.ancestry(newest)):
        other, manifest = elsewhere.layer(layer.name), layer.manifest
        entry = STAGES.get(manifest.stage)
        if entry is None or not entry.reads or not other.exists:
            continue
        if changed := other.manifest.changes_to(manifest):
            yield changed


def _run(layer: Layer, manifest: Manifest) -> StageRun:
    settings = {k: v for k, v in manifest.settings.items() if k != "ontology"}
    changed = changed_settings(STAGES[manifest.stage].config, settings)
    changed.pop("holdout", None)  # a hash here, not what was given
    return StageRun(
        layer=layer.name,
        stage=manifest.stage,
        labels=STAGES[manifest.stage].labels,
        version=manifest.version,
        models=tuple(_models(manifest)),
        changed=changed,
        settings=settings,
        counts=layer.counts(),
    )


def changed_settings(options: type[Config], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings that are options and not at their default."""
    known = options.model_fields
    return {k: v for k, v in settings.items() if k in known and v != _default(known[k])}


def _default(field: FieldInfo) -> Any:
    return to_jsonable_python(field.get_default(call_default_factory=True))


def _models(manifest: Manifest) -> Iterator[Model]:
    """List the models: a stage records one, with name and revision, or one for each role."""
    model = manifest.model or {}
    if "name" in model:
        model = {manifest.stage: f"{model['name']} {model.get('revision', '')}"}
    for identity in model.values():
        name, _, revision = identity.rpartition(" ")
        digest = revision.removeprefix("sha256:")
        yield Model(name, revision[: len(revision) - len(digest)] + digest[:_SHORT])


def commands(workspace: Workspace, newest: Layer) -> list[str]:
    """Return the commands that make the same layers again."""
    made = [layer for layer in workspace.ancestry(newest) if layer.manifest.stage in STAGES]
    return [command(workspace, layer) for layer in reversed(made)]


def finishing(workspace: Workspace, layer: Layer) -> str:
    """Return the commands that bring a layer and what it was made from up to date, for a shell."""
    left = [one for one in reversed(workspace.ancestry(layer))
            if not workspace.state(one.name).complete]  # fmt: skip
    made = [one for one in left if one.manifest.stage in STAGES]
    if len(made) < len(left) and not any(one.name == "images" for one in made):
        made = [workspace.layer("images"), *made]  # a scan that was stopped is ingest's
    return " && ".join(command(workspace, one) for one in made)


def command(workspace: Workspace, layer: Layer) -> str:
    """Return the command that makes a layer again, or goes on with it where it was stopped."""
    home = str(workspace.path)
    if not layer.exists:
        return shlex.join(["autolabel", "ingest", *_sources(workspace), "--workspace", home])
    manifest = layer.manifest
    stage, settings = manifest.stage, manifest.settings
    words = ["autolabel", stage, home]
    if stage == "ingest":
        words = ["autolabel", "ingest", *_sources(workspace), "--workspace", home]
        words += _flags("holdout", manifest.origin.get("holdout", ()))
    if stage == "detect":
        words += _prompts(workspace, settings.get("ontology"))
    if manifest.source and manifest.source["layer"] != _usual_source(workspace, stage):
        words += ["--from", manifest.source["layer"]]
    changed = changed_settings(STAGES[stage].config, settings)
    for name in STAGES[stage].config.model_fields:
        if name in ("model", "clip", "dinov2", "examples"):
            words += _flags(name, manifest.origin.get(name) or ())
        elif name in changed and name not in ("holdout", "ontology"):  # said above
            words += _flags(name, changed[name])
    if manifest.version != __version__:
        words.append("--overwrite")
    return shlex.join(words)


def _sources(workspace: Workspace) -> list[str]:
    scan = workspace.layer("scan" if workspace.layer("scan").exists else "images").manifest
    return list(scan.origin.get("source") or [str(scan.source_root)])


def _usual_source(workspace: Workspace, stage: str) -> str:
    reads = STAGES[stage].reads or ("scan",)
    return next((name for name in reads if workspace.layer(name).exists), reads[-1])


def _prompts(workspace: Workspace, ontology: Any) -> list[str]:
    """Name the file that the workspace keeps, or where that is another one, what is looked for."""
    file = workspace.path / "ontology.yaml"
    try:
        if reading.read_yaml(file) == ontology or not ontology:
            return ["--ontology", str(file)]
    except (OSError, ValueError):
        pass
    wanted = Ontology.from_mapping(ontology)
    words = []
    for name, prompts in wanted.classes.items():
        words += ["--prompt", name if prompts == (name,) else f"{name}={', '.join(prompts)}"]
    return words + _flags("negative", wanted.negatives)


def train_command(workspace: Workspace, settings: Mapping[str, Any]) -> str:
    """Return the command that trains a student again."""
    words = ["autolabel", "train", str(workspace.path)]
    for name, value in changed_settings(TrainConfig, settings).items():
        words += _flags(TrainConfig.model_fields[name].alias or name, value)
    return shlex.join(words)


def _flags(name: str, value: Any) -> list[str]:
    """Spell ``--name value``, once for each entry of a list or a mapping."""
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else f"--no-{name.replace('_', '-')}"]
    if isinstance(value, Mapping):
        return [word for key, one in value.items() for word in (flag, f"{key}={one}")]
    if isinstance(value, list | tuple):
        return [word for one in value for word in (flag, str(one))]
    return [flag, str(value)]


def ontology_of(layer: Layer) -> Ontology:
    """Return the ontology of a layer's labels, by way of the layers that it was made from.

    Raises:
        AutolabelError: the layer has no labels.
    """
    manifest = layer.manifest
    while (found := manifest.settings.get("ontology") or manifest.origin.get("ontology")) is None:
        if manifest.source is None:
            raise AutolabelError(
                f"{layer.name}/ has no labels",
                hint=f"use --from with one of: {', '.join(label_layers())}",
            )
        manifest = Layer(layer.path.parent / manifest.source["layer"], "").manifest
    return Ontology.from_mapping(found)


def manifests_of(layer: Layer) -> list[Manifest]:
    """Return the manifests of a layer and of those that it was made from, the newest first."""
    made_by: list[Manifest] = []
    source: str | None = layer.name
    while source is not None:
        manifest = Layer(layer.path.parent / source, source).manifest
        made_by.append(manifest)
        source = manifest.source["layer"] if manifest.source else None
    return made_by


def renamings(layer: Layer, names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], ClassChanges]]:
    """Yield each change of classes that a layer's labels went through, the first one first.

    Args:
        layer: of labels.
        names: the classes that there were, where a layer does not say so.

    Yields:
        The classes before, in the order of their ids, and what became of them.
    """
    for manifest in reversed(manifests_of(layer)):
        if manifest.stage == RELABEL:
            before = tuple(manifest.origin.get(BEFORE, names))
            config = build(RelabelConfig, manifest.settings, flags=False)
            yield before, class_changes(config, before)


def options_of(manifest: Manifest) -> Config:
    """Return the options that made a layer, its models where they are now, to do the same again.

    Raises:
        AutolabelError: a model is no longer to be found, or has changed.
    """
    entry = STAGES[manifest.stage]
    fields = entry.config.model_fields
    again = f"run autolabel {manifest.stage} with --overwrite first"
    for option in entry.models:
        used = _revision(manifest, option) or fields[option].default
        if used and not manifest.origin.get(option):
            raise AutolabelError(
                f"the manifest of {manifest.stage}/ does not say which model made it", hint=again
            )
    given = {**manifest.settings, **manifest.origin}
    known = {name: value for name, value in given.items() if name in fields}
    config = build(entry.config, known, flags=False)
    for option, task, reference in entry.models_of(config):
        located = registry.locate(task, reference)
        if located.revision != _revision(manifest, option):
            raise AutolabelError(
                f"the model in {located.path} is not the one that made {manifest.stage}/ any more",
                hint=again,
            )
    return config


def _revision(manifest: Manifest, option: str) -> str:
    """Return the revision of the model that an option named; empty where it named none."""
    model = manifest.model or {}
    if "name" in model:
        return model.get("revision", "")
    return model.get(option, "").rpartition(" ")[2]
