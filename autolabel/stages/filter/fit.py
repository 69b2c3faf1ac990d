"""What the rules need beside the labels: embeddings, and what is learned over the whole layer.

Each fit is kept in a file beside the embeddings that it comes from, under a name that changes with
all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from autolabel import registry
from autolabel.config import EngineConfig, FilterConfig
from autolabel.errors import AutolabelError
from autolabel.reading import parse_json, read_regular
from autolabel.stages.embed import embed
from autolabel.stages.filter.apply import RuleSet
from autolabel.stages.filter.evidence import CLIP, DINOV2, join_vectors, vector_key
from autolabel.stages.filter.examples import ExampleVectors, Probe, find_examples
from autolabel.stages.filter.prototypes import LARGEST_FIT, Prototypes, find_prototypes, kept_labels
from autolabel.stages.filter.rule import LEARNED
from autolabel.stages.filter.table import GROUP, RULES, active, settings_of
from autolabel.stages.filter.texts import PromptTexts, TextVectors, embed_texts
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter
from autolabel.stages.table import STAGES
from autolabel.store import EMBED, Layer, Workspace, write_atomic
from autolabel.store.vectors import CROPS
from autolabel.types import Record

PROTOTYPES = "crowds"
"""What workspaces call the prototypes: the files `crowds-….npz`, and a key in manifests."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Fitted:
    """All that the rules need beside the labels.

    Attributes:
        layers: embedder -> the layer with its vectors.
        located: embedder -> its model.
        texts, prototypes, probe: see `RuleSet`.
        inputs: digests of what was learned over the whole dataset.
        origin: where it came from, for the manifest.
    """

    layers: dict[str, Layer]
    located: dict[str, registry.Located]
    texts: TextVectors | None
    prototypes: Prototypes | None
    probe: Probe | None
    inputs: dict[str, str]
    origin: dict[str, str]


def fit(
    workspace: Workspace,
    source: Layer,
    config: FilterConfig,
    engine: EngineConfig,
    report: Reporter,
    *,
    learned_from: Workspace | None = None,
    on_trial: bool = False,
) -> Fitted:
    """Embed what is not embedded yet, and fit what is not fitted yet; holds no lock.

    Args:
        workspace: has `source`.
        source: the labels.
        config: the rules.
        engine: how it runs.
        report: called when work begins.
        learned_from: the workspace whose fits to use in place of own ones.
        on_trial: whether what the layer `filter` was made with stays in its place.

    Raises:
        AutolabelError: a model or the examples are not to be had.
    """
    layers: dict[str, Layer] = {}
    located: dict[str, registry.Located] = {}
    for name, task, model in STAGES["filter"].models_of(config):
        at = located[name] = registry.locate(task, model)
        layers[name] = embed(
            workspace, name, at, source, config.context, engine, report, on_trial=on_trial
        )
    origin = {name: at.reference() for name, at in located.items()}
    do = _Fit(workspace, source, config, engine, learned_from, layers, located, origin)
    texts = do.texts() if CLIP in layers else None
    prototypes = do.prototypes(texts) if DINOV2 in layers else None
    probe = do.probe() if config.examples and DINOV2 in layers else None
    return Fitted(layers, located, texts, prototypes, probe, do.inputs, do.origin)


@dataclass(frozen=True, eq=False)
class _Fit:
    """The fits of one layer; notes in `inputs` and `origin` what each of them came from."""

    workspace: Workspace
    source: Layer
    config: FilterConfig
    engine: EngineConfig
    learned_from: Workspace | None
    layers: dict[str, Layer]
    located: dict[str, registry.Located]
    origin: dict[str, str]
    inputs: dict[str, str] = field(default_factory=dict)

    def texts(self) -> TextVectors:
        """Embed the prompts."""
        config, located = self.config, self.located[CLIP]
        ontology = ontology_of(self.source)
        prompts = PromptTexts.of(ontology, config.templates, config.background)

        def make() -> bytes:
            return embed_texts(registry.load(located, self.engine.device), prompts).to_json()

        def parse(data: bytes) -> TextVectors:
            return TextVectors.from_json(parse_json(data))

        return _kept(self.layers[CLIP], f"texts-{prompts.fingerprint()}.json", parse, make)[0]

    def prototypes(self, texts: TextVectors | None) -> Prototypes:
        """Learn the prototypes from the whole layer, or take those of `learned_from`.

        Labels that the rules before the first use of the prototypes reject take no part: in a rare
        class the errors may be more than a minority otherwise.
        """
        if self.learned_from is not None:
            file, data = _learned(self.learned_from)
            found = Prototypes.from_bytes(data)
        else:
            config, earlier = self.config, _earlier_rules(self.config)
            key: list[object] = [self.source.fingerprint(), settings_of(earlier)]
            key += [config.neighbours, config.crowd_share]
            key += [layer.fingerprint() for layer in self.layers.values()]
            digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
            file = f"{PROTOTYPES}-{digest}.npz"

            def make() -> bytes:
                kept = kept_labels(self._judged(RuleSet(earlier, texts)), vector_key(DINOV2, CROPS))
                return find_prototypes(
                    kept, neighbours=config.neighbours, share=config.crowd_share
                ).to_bytes()

            found, data = _kept(self.layers[DINOV2], file, Prototypes.from_bytes, make)
        self.inputs[PROTOTYPES] = hashlib.sha256(data).hexdigest()
        self.origin[PROTOTYPES] = file
        return found

    def _judged(self, rules: RuleSet) -> Iterator[Record]:
        for index in self.source.shards():
            for record in read_joined(self.source, self.layers, index):
                if record.usable:
                    yield rules.apply(record)

    def probe(self) -> Probe:
        """Embed the examples, and make the probe that learns from them."""
        config, located = self.config, self.located[DINOV2]
        folder = Path(config.examples)
        ontology = ontology_of(self.source)
        examples = find_examples(folder, ontology, _held_out(self.learned_from or self.workspace))
        file = f"examples-{examples.fingerprint(located.revision, config.context)}.npz"

        def make() -> bytes:
            embedder = registry.load(located, self.engine.device)
            return examples.embedded(embedder, config.context).to_bytes()

        parsed, data = _kept(self.layers[DINOV2], file, ExampleVectors.from_bytes, make)
        self.inputs["examples"] = hashlib.sha256(data).hexdigest()
        self.origin["examples"] = str(folder.resolve())
        return Probe(parsed, config.probe_kind, frozenset(ontology.names))


def _kept(
    layer: Layer, file: str, parse: Callable[[bytes], T], make: Callable[[], bytes]
) -> tuple[T, bytes]:
    """Read a file beside a layer of vectors; it is made where it is missing, damaged or huge."""
    path = layer.path / file
    with suppress(OSError, ValueError):
        data = read_regular(path, LARGEST_FIT)
        return parse(data), data
    data = make()
    write_atomic(path, data)
    return parse(data), data


def _learned(pool: Workspace) -> tuple[str, bytes]:
    """Return the prototypes by which a workspace was filtered: file name and content."""
    file = pool.require("filter").manifest.origin.get(PROTOTYPES, "")
    try:
        return file, read_regular(pool.path / EMBED / DINOV2 / file, LARGEST_FIT)
    except OSError as e:
        raise AutolabelError(
            f"{pool.path} lacks {EMBED}/{DINOV2}/{file}, which filter/ was made with",
            hint="run autolabel filter again with the same settings and --overwrite",
        ) from e


def _earlier_rules(config: FilterConfig) -> FilterConfig:
    """Return the rules that come before those that need what is learned, and no others."""
    rules = active(config)
    first = next((i for i, name in enumerate(rules) if RULES[name].needs in LEARNED), len(rules))
    fields = {name: getattr(config, name) for name in FilterConfig.model_fields}
    later = {*rules[first:], GROUP}
    off = {n: FilterConfig.model_fields[n].default for n in later & fields.keys()}
    plugins = {n: value for n, value in config.plugin_rule.items() if n not in later}
    earlier = {"rules": tuple(rules[:first]), "plugin_rule": plugins}
    return FilterConfig.model_validate({**fields, **off, **earlier})


def _held_out(workspace: Workspace) -> tuple[str, ...]:
    return tuple(workspace.require("images").manifest.origin.get("holdout", ()))


def read_joined(source: Layer, layers: Mapping[str, Layer], index: int) -> list[Record]:
    """Read the records of one shard of `source`, with the vectors of `layers`.

    Raises:
        AutolabelError: they do not fit each other.
    """
    vectors = {n: layer.read(index) for n, layer in layers.items()}
    try:
        return join_vectors(source.read(index), vectors)
    except ValueError as e:
        folders = ", ".join(str(layer.shard_path(index)) for layer in layers.values())
        raise AutolabelError(
            f"{folders} does not fit {source.shard_path(index)}: {e}",
            hint="delete it and run autolabel filter again",
        ) from e
