"""The card that stands beside the small detector's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CARD = """\
---
license: mit
library_name: transformers
pipeline_tag: zero-shot-object-detection
---

# A small Grounding DINO for blood smears

A genuine `GroundingDinoForObjectDetection` with {parameters:.2f} M parameters, trained from random
weights on one CPU core. It exists so that a demo and its tests can run the whole pipeline offline
in seconds. **It is a domain demo, not a general detector**: it knows red blood cells, white blood
cells and platelets in stained smears like those of its training photos, under their usual names,
and answers other words with (nearly) nothing. It is no medical device.

```python
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

model = AutoModelForZeroShotObjectDetection.from_pretrained("sample_data/models/detector")
processor = AutoProcessor.from_pretrained("sample_data/models/detector")
```

Prompt it as usual ("red blood cell. white blood cell. platelet."), keep scores of about 0.3 and
more, and apply class-wise NMS (IoU 0.6): its queries are trained one-to-many and repeat themselves.

## Training

- Data: the {photos} photos and hand labels of the `train` split of
  [BCCD](https://github.com/Shenggan/BCCD_Dataset) (commit d272fb1, MIT). The `val` and `test`
  splits were neither learned from nor used to choose anything.
- Command: `{command}`
- Seed {seed}, {done} of {steps} steps of {batch} images at {width} x {height} pixels,
  fixed schedule, running average of the weights; {minutes:.0f} minutes with {threads} thread(s).
- Licence of the weights: MIT, as the data.
"""

FIGURES = """
## Figures

Over the {photos} photos of the `test` split, prompt "{prompt}",
class-wise NMS at IoU 0.6, scores from 0.05, COCO metrics by pycocotools
(`sample_models/measure_detector.py`). The source labels red cells incompletely, which caps their
figures.

| class | AP | AP50 | F1 at 0.3 | best F1 (at) |
|---|---|---|---|---|
{rows}

{seconds:.2f} s a photo on one thread. Boxes at 0.3 over all {photos} photos, per phrase of the
prompt ({truth} are labelled):

| prompt | boxes |
|---|---|
{probes}
"""


def write_card(folder: Path, facts: Mapping[str, object], figures: Mapping | None) -> None:
    """Write `MODEL_CARD.md`; `figures` as `measure_detector.measure` returns them."""
    text = CARD.format(**facts)
    if figures:
        text += figures_section(figures)
    (folder / "MODEL_CARD.md").write_text(text)


def figures_section(figures: Mapping) -> str:
    """The card's tables."""
    rows = []
    for name, precision in figures["average_precision"].items():
        row = f"| {name} | {precision['AP']:.3f} | {precision['AP50']:.3f} |"
        if name in figures["f1_best"]:
            best = figures["f1_best"][name]
            at = f"{figures['f1_at_0.3'][name]:.3f}"
            row += f" {at} | {best['f1']:.3f} ({best['threshold']}) |"
        else:
            row += " | |"
        rows.append(row)
    probes = (
        f"| {prompt} | {', '.join(map(str, counts))} |"
        for prompt, counts in figures["boxes_at_0.3"].items()
    )
    truth = ", ".join(f"{count} {name}s" for name, count in figures["truth_counts"].items())
    return FIGURES.format(
        photos=figures["photos"],
        prompt=". ".join(figures["truth_counts"]) + ".",
        rows="\n".join(rows),
        seconds=figures["seconds_per_photo"],
        truth=truth,
        probes="\n".join(probes),
    )
