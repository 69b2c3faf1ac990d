"""How students learned: their curves by epoch, and what ``run.json`` says of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from autolabel.config.train import TrainConfig
from autolabel.report.page.numbers import figure, minutes, value
from autolabel.report.page.plots import Plot, epoch_plot
from autolabel.report.results import Training
from autolabel.stages.history import changed_settings


def learning_curves(training: Training) -> list[tuple[Plot, list[str]]]:
    """Plot figures by epoch, each plot with the names of its lines."""
    columns = training.epochs
    epochs = columns.get("epoch", [])
    if not epochs:
        return []
    known = {n: v for n, v in columns.items() if any(math.isfinite(x) for x in v)}
    shares = {n: known[n] for n in _SHARES if n in known}
    losses = {n: v for n, v in known.items() if "loss" in n}
    shown = []
    for lines, unit, title in (
        (shares, "share", "On the part of the labels set aside"),
        (dict(list(losses.items())[:5]), "loss", "Training losses"),
    ):
        if lines:
            said = ", ".join(f"{n} {figure(v[-1])}" for n, v in lines.items())
            text = f"{title}, {len(epochs)} epochs; at the end {said}."
            shown.append((epoch_plot(title, text, epochs, lines, unit), list(lines)))
    return shown


_SHARES: tuple[str, ...] = ("ap50", "ap", "precision", "recall", "mask_ap50")


def about_training(training: Training) -> list[tuple[str, str]]:
    """Put in words what run.json says; what it leaves out is left out."""
    run = training.run
    said = [(name, run.get(key)) for key, name in _TRAINING.items()]
    told = [(name, value(v)) for name, v in said if v not in (None, "", [], {})]
    changed = changed_settings(TrainConfig, training.part("settings"))
    held = changed.get("holdout")
    if isinstance(held, list) and len(held) > 2:  # `run` names every photo that is measured on
        changed["holdout"] = f"{len(held)} photos"
    options = ", ".join(f"{k}: {value(v)}" for k, v in changed.items())
    told += [("options", options)] if options else []
    if run.get("resumed_from"):
        epochs = run["resumed_from"]
        listed = epochs if isinstance(epochs, list) else [epochs]
        told.append(("resumed", f"was stopped and went on from epoch {_and(listed)}"))
    parts = [f"{count} {reason}" for reason, count in training.part("skipped").items() if count]
    told += [("not learned from", ", ".join(parts))] if parts else []
    if known := _threshold(training.part("threshold")):
        told.append(("operating threshold", known))
    if isinstance(run.get("seconds"), int | float):
        told.append(("time", minutes(run["seconds"])))
    return told


_TRAINING = {
    "student": "starts as",
    "licence": "licence",
    "state": "state",
    "layer": "labels",
    "images": "photos learned from",
    "val_images": "photos set aside",
    "objects": "labels learned from",
    "epochs_done": "epochs done",
    "best_epoch": "best epoch",
    "machine": "trained on",
}


def _threshold(chosen: dict[str, Any]) -> str:
    """Say from which score the detector is used, and its F1 there by the machine's labels."""
    score, f1 = chosen.get("score"), chosen.get("f1")
    if not isinstance(score, int | float):
        return ""
    if not isinstance(f1, int | float):
        return f"{score:g}, as {chosen.get('why', 'none could be chosen')}"
    return f"{score:g}, chosen on the photos set aside (F1 {f1:.3f} there)"


def _and(items: Sequence[Any]) -> str:
    return " and ".join(map(str, items))
