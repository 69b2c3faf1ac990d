"""The engine for several GPUs, on one machine or many: an actor pool that is handed shards.

Every actor runs the local engine on one shard at a time, so both engines write the same bytes. The
workspace and the images must lie where all machines see them under the same path. It joins the
cluster that `RAY_ADDRESS` names, or starts one on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autolabel.engine import local
from autolabel.engine.base import Begin, Progress, Stage, Task
from autolabel.engine.journal import clear
from autolabel.engine.pixels import PixelReader
from autolabel.errors import AutolabelError
from autolabel.store import Layer

CORES_PER_ACTOR = 4
"""Processor cores that an actor without a GPU takes, or all of a smaller machine's."""


@dataclass(frozen=True)
class _Outcome:
    """What came of one shard: counts, and the error that it ended with."""

    images: int = 0
    objects: int = 0
    errors: int = 0
    resumed: int = 0
    model_seconds: float = 0.0
    refused: AutolabelError | None = None


class _Actor:
    """Holds one loaded stage, and does shard after shard with it."""

    def __init__(
        self,
        make_stage: Callable[[], Stage],
        photos: Path | None,
        batch_size: int,
        workers: int,
    ) -> None:
        self.make_stage = make_stage
        self.stage: Stage | None = None
        self.reader = None if photos is None else PixelReader(photos)
        self.batch_size = batch_size
        self.workers = workers

    def load(self) -> AutolabelError | None:
        """Make the stage, or say why not: errors of a constructor lose their kind on the way."""
        try:
            self._loaded()
        except AutolabelError as e:
            return e
        return None

    def _loaded(self) -> Stage:
        if self.stage is None:
            self.stage = self.make_stage()
        return self.stage

    def do(self, layer: Layer, task: Task) -> _Outcome:
        progress = Progress()
        refused = None
        try:
            local.do(
                self._loaded(),
                self.reader,
                layer,
                [task],
                progress,
                batch_size=self.batch_size,
                workers=self.workers,
            )
        except AutolabelError as e:
            refused = e
        if refused is None and progress.failures:
            refused = AutolabelError(progress.failures[0][1], hint="")
        return _Outcome(
            progress.images,
            progress.objects,
            progress.errors,
            progress.resumed,
            progress.model_seconds,
            refused,
        )


def run(
    make_stage: Callable[[], Stage],
    layer: Layer | Begin,
    tasks: Sequence[Task],
    progress: Progress,
    *,
    batch_size: int,
    workers: int = 0,
    photos: Path | None = None,
) -> None:
    """Run a stage on a pool of actors, one per GPU; see `autolabel.engine.local.run`.

    Raises:
        AutolabelError: ray is not installed or does not start, or some shards could not be done.
    """
    if not tasks:
        return
    with _cluster() as ray:
        count, resources = _actors(ray.cluster_resources(), len(tasks))
        kind = ray.remote(_Actor).options(**resources)
        made = [kind.remote(make_stage, photos, batch_size, workers) for _ in range(count)]
        try:
            for refused in ray.get([actor.load.remote() for actor in made]):
                if refused is not None:
                    raise refused
            written = layer if isinstance(layer, Layer) else layer()
            pool = ray.util.ActorPool(made)
            sent = pool.map(lambda actor, task: actor.do.remote(written, task), list(tasks))
            for task, outcome in zip(tasks, sent, strict=True):
                _add(progress, task, outcome)
        except ray.exceptions.RayActorError as e:
            raise AutolabelError(
                f"an actor of ray ended: {' '.join(str(e).split())[-200:]}",
                hint="what is done is kept; fix the cause and run the same command again",
            ) from e
    local.raise_failures(written, tasks, progress)
    clear(written)


def _add(progress: Progress, task: Task, outcome: _Outcome) -> None:
    progress.images += outcome.images
    progress.objects += outcome.objects
    progress.errors += outcome.errors
    progress.resumed += outcome.resumed
    progress.model_seconds += outcome.model_seconds
    if outcome.refused is not None:
        progress.failures.append((task.index, outcome.refused.message))
    else:
        progress.shards += 1
    progress.changed(progress)


def _actors(available: dict[str, float], tasks: int) -> tuple[int, dict[str, float]]:
    """Return how many actors, and what each takes: a GPU each, else some cores each."""
    gpus, cores = int(available.get("GPU", 0)), int(available.get("CPU", 1))
    if gpus:
        return min(gpus, tasks), {"num_gpus": 1, "num_cpus": max(1, cores // gpus)}
    each = min(CORES_PER_ACTOR, max(cores, 1))
    return min(max(cores // each, 1), tasks), {"num_cpus": each}


@contextmanager
def _cluster() -> Iterator[Any]:
    """Connect to ray, and let it go afterwards if it was not connected before."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report home
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.util
    except ImportError as e:
        raise AutolabelError(
            "the engine ray is not installed",
            hint="pip install 'autolabel[ray]', or --engine local",
        ) from e
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    except (ConnectionError, OSError, RuntimeError, ValueError) as e:
        raise AutolabelError(
            f"ray does not start: {' '.join(str(e).split())[-200:]}",
            hint="check RAY_ADDRESS, or use --engine local",
        ) from e
    try:
        yield ray
    finally:
        ray.shutdown()
