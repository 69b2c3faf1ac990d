"""The images and labels in the form that the trainer reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from autolabel.config import ExportConfig, TrainConfig
from autolabel.datasets.export import export
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.store import Workspace
from autolabel.train.choose import ChosenLayer


@dataclass(frozen=True)
class Dataset:
    """What training reads.

    Attributes:
        folder: with ``images/train``, ``labels/train`` and, where there is one, the val part.
        images, val_images: learned from, and for choosing the best epoch.
        objects: learned from, by class.
        skipped: images left out, by reason.
        rewritten: images written anew, because the trainer cannot read them as they are.
    """

    folder: Path
    images: int
    val_images: int
    objects: dict[str, int]
    skipped: dict[str, int]
    rewritten: int


def require_labels(layer: ChosenLayer) -> None:
    """See that there is something to learn from.

    Raises:
        AutolabelError: there is no label.
    """
    if not any(record.usable and record.objects.keep.any() for record in layer.records()):
        raise AutolabelError(
            f"{layer.name}/ has no kept label to learn from",
            hint="lower --box-threshold of detect, or the limits of filter; autolabel preview "
            "--rejected shows what was rejected",
        )


def write_dataset(
    workspace: Workspace,
    layer: ChosenLayer,
    ontology: Ontology,
    config: TrainConfig,
    out: Path,
    *,
    masks: bool,
) -> Dataset:
    """Export the kept labels.

    The images are copied, not linked: ultralytics rewrites a JPEG that has a damaged end, and that
    must never be the user's own file.
    """
    chosen = ExportConfig(
        format="yolo",
        task="segment" if masks else "detect",
        out=str(out),
        val_share=config.val_share,
        seed=config.seed,
        link="copy",
    )
    done = export(workspace, layer, ontology, chosen)
    counts: Counter[int] = Counter()
    for file in (out / "labels" / "train").glob("*.txt"):
        counts.update(int(line.split()[0]) for line in file.read_text("ascii").splitlines())
    return Dataset(
        folder=out,
        images=done.splits["train"],
        val_images=done.splits.get("val", 0),
        objects={name: counts[i] for i, name in enumerate(ontology.names)},
        skipped=done.skipped,
        rewritten=done.rewritten,
    )
