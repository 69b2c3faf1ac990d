"""Images per second of `detect` by batch size, and the share of the time inside the model.

    python benchmarks/detect_speed.py PHOTOS --model sample_data/models/detector --prompt platelet

Every batch size labels the same photos in a workspace of its own, in one process after one warm-up
pass, through the same engine as the command line.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from autolabel import registry
from autolabel.config import DetectConfig, EngineConfig, IngestConfig
from autolabel.engine import local
from autolabel.engine.base import Progress
from autolabel.stages.detect import Detect
from autolabel.stages.ingest import ingest
from autolabel.stages.running import tasks_from
from autolabel.store import Manifest, Workspace, bound_to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--model", default="sample_data/models/detector")
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    options = parser.parse_args()

    config = DetectConfig(model=options.model, prompt=tuple(options.prompt or ["platelet"]))
    located = registry.locate("detector", config.model)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        engine = EngineConfig(device=options.device)
        photos = IngestConfig(source=tuple(options.photos))
        source = ingest(workspace, photos, engine).layer
        stage = Detect(config, config.resolve_ontology(), {"model": located}, options.device)
        table = Table("batch size", "images/s", "against 1", "inside the model")
        rates: list[float] = []
        for size in [options.batch_size[0], *options.batch_size]:  # the first run warms up
            name = f"detect-{len(rates)}"
            digests = {index: source.digest(index) for index in source.shards()}
            manifest = bound_to(Manifest(name), source)
            update = workspace.plan_update(name, manifest, digests, overwrite=False)
            progress = Progress()
            start = time.perf_counter()
            local.run(
                partial(lambda made: made, stage),
                update.begin(),
                tasks_from(source, update.to_do),
                progress,
                batch_size=size,
                photos=workspace.source_root,
            )
            seconds = time.perf_counter() - start
            rates.append(progress.images / seconds)
            if len(rates) > 1:
                share = progress.model_seconds / seconds
                table.add_row(
                    str(size), f"{rates[-1]:.2f}", f"{rates[-1] / rates[1]:.2f}", f"{share:.1%}"
                )
    console = Console()
    console.print(f"{progress.images} photos, {located.name}, device {options.device}")
    console.print(table)


if __name__ == "__main__":
    main()
