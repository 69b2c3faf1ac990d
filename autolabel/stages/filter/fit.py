"""What the filter needs beside the labels: embeddings, and what is fitted over the whole layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from autolabel import registry
from autolabel.config import EngineConfig, FilterConfig
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.reading import parse_json, read_regular
from autolabel.stages.embed import Embed, TextVectors, Wording, embed_texts
from autolabel.stages.filter.evidence import CLIP, DINOV2, Crowds, find_crowds, joined
from autolabel.stages.filter.examples import find_examples
from autolabel.stages.filter.probe import Examples, Probe
from autolabel.stages.filter.rules import GROUP, active
from autolabel.stages.filter.stage import Filter
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter, derive, existing_root
from autolabel.store import EMBED, Layer, Manifest, Workspace, write_atomic
from autolabel.types import Record

TASKS: Mapping[str, str] = {CLIP: "image-text", DINOV2: "image"}
"""Embedder -> what its model must do."""

LEARNED = ("dinov2_class", "dinov2_distance", "examples")
"""Rules that need what is learned over the whole dataset."""

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where embeddings and fits lie.

    Attributes:
        home: the workspace.
        learned_from: the workspace whose fits to use in place of own ones.
        on_trial: whether what a filter was made with stays in its place.
    """

    home: Workspace
    learned_from: Workspace | None = None
    on_trial: bool = False


@dataclass(frozen=True, eq=False)
class Gathered:
    """All that the rules need beside the labels.

    Attributes:
        layers: embedder -> the layer with its vectors.
        located: embedder -> its model.
        texts, crowds, probe: see `Filter`.
        inputs: digests of what was fitted over the whole dataset.
        origin: where it came from, for the manifest.
    """

    layers: dict[str, Layer]
    located: dict[str, registry.Located]
    texts: TextVectors | None
    crowds: Crowds | None
    probe: Probe | None
    inputs: dict[str, str]
    origin: dict[str, str]


def gather(
    place: Place, source: Layer, config: FilterConfig, engine: EngineConfig, report: Reporter
) -> Gathered:
    """Embed what is not embedded yet, and fit what is not fitted yet.

    Raises:
        AutolabelError: a model or the examples are not to be had.
    """
    layers: dict[str, Layer] = {}
    located: dict[str, registry.Located] = {}
    for name, task in TASKS.items():
        if getattr(config, name):
            located[name] = registry.locate(task, getattr(config, name))
            layers[name] = _vectors(place, name, located[name], source, config, engine, report)
    ontology = ontology_of(source)
    found = Gathered(layers, located, None, None, None, {}, {})
    found.origin.update({name: at.reference() for name, at in located.items()})
    if CLIP in layers:
        texts = _texts(layers[CLIP], located[CLIP], ontology, config, engine)
        found = replace(found, texts=texts)
    if DINOV2 in layers:
        found = replace(found, crowds=_crowds(place, source, config, found))
        found = replace(
            found, probe=_probe(place, located[DINOV2], ontology, config, engine, found)
        )
    return found


def _vectors(
    place: Place,
    name: str,
    located: registry.Located,
    source: Layer,
    config: FilterConfig,
    engine: EngineConfig,
    report: Reporter,
) -> Layer:
    """The layer `embed/NAME`, made or brought up to date."""
    manifest = Manifest(stage=EMBED, settings={"context": config.context}, model=located.identity())
    root = existing_root(place.home)
    make = partial(Embed, located, config.context, root, engine.device)
    return derive(
        place.home, f"{EMBED}/{name}", source, manifest, make, root, engine, True, report,
        on_trial=place.on_trial,
    ).layer  # fmt: skip


def _kept(
    layer: Layer, file: str, parse: Callable[[bytes], T], make: Callable[[], bytes]
) -> tuple[T, bytes]:
    """What a file beside a layer of vectors holds; it is made where it is missing or damaged."""
    path = layer.path / file
    if path.is_file():
        data = path.read_bytes()
        with suppress(ValueError):
            return parse(data), data
    data = make()
    write_atomic(path, data)
    return parse(data), data


def _texts(
    layer: Layer,
    located: registry.Located,
    ontology: Ontology,
    config: FilterConfig,
    engine: EngineConfig,
) -> TextVectors:
    wording = Wording.of(ontology, config.templates, config.background)

    def make() -> bytes:
        return embed_texts(registry.load(located, engine.device), wording).to_json()

    file = f"texts-{wording.fingerprint()}.json"
    return _kept(layer, file, lambda data: TextVectors.from_json(parse_json(data)), make)[0]


def _crowds(place: Place, source: Layer, config: FilterConfig, found: Gathered) -> Crowds:
    """Learned from the whole layer, or by the workspace that is to be followed.

    Labels that the rules before the first use of the crowds reject take no part: in a rare class
    the errors may be more than a minority otherwise.
    """
    if place.learned_from is not None:
        file, data = _learned(place.learned_from)
    else:
        before = _before_crowds(config)
        key = [source.fingerprint(), before.settings(), config.neighbours, config.crowd_share]
        key += [layer.fingerprint() for layer in found.layers.values()]
        file = f"crowds-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.npz"

        def make() -> bytes:
            stage = Filter(before, found.texts)
            records = (
                judged
                for index in source.shards()
                for judged in _still_embedded(stage, read_joined(source, found.layers, index))
            )
            crowds = find_crowds(records, neighbours=config.neighbours, share=config.crowd_share)
            return crowds.to_bytes()

        data = _kept(found.layers[DINOV2], file, Crowds.from_bytes, make)[1]
    found.inputs["crowds"] = hashlib.sha256(data).hexdigest()
    found.origin["crowds"] = file
    return Crowds.from_bytes(data)


def _learned(pool: Workspace) -> tuple[str, bytes]:
    """The crowds by which a workspace was filtered: file name and content."""
    file = pool.require("filter").manifest.origin.get("crowds", "")
    try:
        return file, read_regular(pool.path / EMBED / DINOV2 / file)
    except OSError as e:
        raise AutolabelError(
            f"{pool.path} lacks {EMBED}/{DINOV2}/{file}, which filter/ was made with",
            hint="run autolabel filter again with the same settings and --overwrite",
        ) from e


def _before_crowds(config: FilterConfig) -> FilterConfig:
    """The rules that come before those on crowds and examples, and no others."""
    rules = active(config)
    first = next((i for i, name in enumerate(rules) if name in LEARNED), len(rules))
    fields = {name: getattr(config, name) for name in FilterConfig.model_fields}
    off = {n: FilterConfig.model_fields[n].default for n in (*rules[first:], GROUP)}
    return FilterConfig.model_validate({**fields, **off, "rules": tuple(rules[:first])})


def _still_embedded(stage: Filter, records: Sequence[Record]) -> list[Record]:
    """Records after the rules, with the vectors that the stage takes away."""
    wanted = [record for record in records if stage.wants(record)]
    return [
        replace(after, vectors=before.vectors)
        for before, after in zip(wanted, stage(wanted), strict=True)
    ]


def _probe(
    place: Place,
    located: registry.Located,
    ontology: Ontology,
    config: FilterConfig,
    engine: EngineConfig,
    found: Gathered,
) -> Probe | None:
    if not config.examples:
        return None
    folder = Path(config.examples)
    examples = find_examples(folder, ontology, _held_out(place.learned_from or place.home))
    file = f"examples-{examples.fingerprint(located.revision, config.context)}.npz"

    def make() -> bytes:
        embedder = registry.load(located, engine.device)
        return examples.embedded(embedder, config.context).to_bytes()

    parsed, data = _kept(found.layers[DINOV2], file, Examples.from_bytes, make)
    found.inputs["examples"] = hashlib.sha256(data).hexdigest()
    found.origin["examples"] = str(folder.resolve())
    return Probe(parsed, config.probe_kind, frozenset(ontology.names))


def _held_out(workspace: Workspace) -> tuple[str, ...]:
    return tuple(workspace.require("images").manifest.origin.get("holdout", ()))


def read_joined(source: Layer, layers: Mapping[str, Layer], index: int) -> list[Record]:
    """The records of one shard of `source`, with the vectors of `layers`."""
    vectors = {n: layer.read(index) for n, layer in layers.items()}
    try:
        return joined(source.read(index), vectors)
    except ValueError as e:
        folders = ", ".join(str(layer.shard_path(index)) for layer in layers.values())
        raise AutolabelError(
            f"{folders} does not fit {source.shard_path(index)}: {e}",
            hint="delete it and run autolabel filter again",
        ) from e
