"""Train a small DINOv2-shaped image embedder from a random start on crops of BCCD's `train` split.

    python sample_models/train_dinov2.py PATH/TO/bccd --out sample_data/models/dinov2

The architecture is DINOv2's, the training is not: there are too few photos for self-distillation.
Crops are pulled together by what they show (supervised contrastive learning, arXiv 2004.11362): one
class, or one way in which a box misses its object.
"""

from __future__ import annotations

import torch
from bccd import CLASSES
from embedder_crops import Bank, augmented
from embedder_run import MEAN, STD, command, make_banks, normalised, parse_arguments, save, train
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

SIDE, PATCH = 48, 8
TEMPERATURE = 0.1
#: Of the two losses, how much classification counts against contrast.
CLASSIFICATION = 0.5
CARD = """\
---
license: mit
library_name: transformers
pipeline_tag: image-feature-extraction
---

# A small DINOv2-shaped embedder for crops of blood smears

A genuine `Dinov2Model` with {parameters:.2f} M parameters, trained from random weights on a CPU. It
exists so that a demo and its tests can filter labels offline in seconds. **It is a domain demo, not
a general model, and it did not learn by DINOv2's self-distillation**: it learned from hand labels,
by supervised contrast, that crops of one class belong together and apart from crops that miss their
object. It is no medical device.

```python
from transformers import AutoImageProcessor, AutoModel

model = AutoModel.from_pretrained("sample_data/models/dinov2")
processor = AutoImageProcessor.from_pretrained("sample_data/models/dinov2")
```

Give it square crops with 10-20 % of context at each side; the embedding is `pooler_output`.

## Training

- Data: crops of {photos} photos of the `train` split of
  [BCCD](https://github.com/Shenggan/BCCD_Dataset) (commit d272fb1, MIT), by its hand labels. The
  last {hold_out} photos of that split were held out; the `val` and `test` splits were not touched.
- Loss: supervised contrastive (temperature {temperature}) plus classification by a linear layer
  that is thrown away, over the three classes, empty ground and, for each class, boxes that miss it.
- Command: `{command}`
- {steps} steps of {batch} crops of {side} px, {minutes:.0f} minutes with {threads} thread(s).
- Held-out photos, crops whose nearest class or background centre is right: {watched}
- Licence of the weights: MIT, as the data.
"""


def build_model() -> Dinov2Model:
    """A small vision transformer, random weights."""
    config = Dinov2Config(
        image_size=SIDE,
        patch_size=PATCH,
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        mlp_ratio=3,
        layerscale_value=0.5,
        use_mask_token=False,
    )
    return Dinov2Model(config)


def build_processor() -> BitImageProcessor:
    """The image processor that DINOv2 uses, without its cut to the centre's 87 %."""
    return BitImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )


def groups_of(bank: Bank) -> torch.Tensor:
    """Classes, then ground, then one group for each class of which a box misses an object."""
    n = len(CLASSES)
    missed = torch.where(bank.kind == n, n, n + 1 + bank.of)
    return torch.where(bank.kind < n, bank.kind, missed)


def contrast(features: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss over one batch."""
    unit = torch.nn.functional.normalize(features, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool)
    logits = (unit @ unit.T / TEMPERATURE).masked_fill(itself, -1e9)
    right = (groups[:, None] == groups[None]) & ~itself
    chances = logits.log_softmax(1).masked_fill(~right, 0)
    count = right.sum(1)
    return -(chances.sum(1)[count > 0] / count[count > 0]).mean()


@torch.no_grad()
def embedded(model: Dinov2Model, pixels: torch.Tensor) -> torch.Tensor:
    parts = [
        model(pixel_values=normalised(p.float() / 255)).pooler_output for p in pixels.split(256)
    ]
    return torch.nn.functional.normalize(torch.cat(parts), dim=1)


def accuracy(model: Dinov2Model, bank: Bank) -> str:
    """Share of the crops of each class, and of bad ones, that lie nearest to their own centre."""
    unit, groups = embedded(model, bank.pixels), groups_of(bank)
    centres = torch.stack([unit[groups == g].mean(0) for g in range(int(groups.max()) + 1)])
    found = (unit @ torch.nn.functional.normalize(centres, dim=1).T).argmax(1)
    n = len(CLASSES)
    found, group = found.clamp(max=n), groups.clamp(max=n)
    names = [*CLASSES.values(), "background"]
    shares = [(found[group == k] == k).float().mean().item() for k in range(n + 1)]
    return ", ".join(f"{name} {share:.3f}" for name, share in zip(names, shares, strict=True))


def main() -> None:
    args = parse_arguments(__doc__.splitlines()[0], "sample_data/models/dinov2", 2000)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = build_model()
    print(f"{model.num_parameters()} parameters", flush=True)
    bank, held_out = make_banks(args, SIDE)
    groups = groups_of(bank)
    print(f"{len(groups)} crops", flush=True)
    head = torch.nn.Linear(model.config.hidden_size, int(groups.max()) + 1)

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        chosen = torch.randint(len(groups), (args.batch,), generator=generator)
        pixels = normalised(augmented(bank.pixels[chosen], generator))
        features = model(pixel_values=pixels).pooler_output
        classified = torch.nn.functional.cross_entropy(head(features), groups[chosen])
        return contrast(features, groups[chosen]) + CLASSIFICATION * classified

    model.train()
    average, seconds = train(
        model, list(head.parameters()), loss_of, lambda m: accuracy(m, held_out), args
    )
    facts = {
        "parameters": average.num_parameters() / 1e6,
        "photos": 205 - args.hold_out,
        "temperature": TEMPERATURE,
        "command": command("train_dinov2.py", args),
        "side": SIDE,
        "minutes": seconds / 60,
        "watched": accuracy(average, held_out),
    }
    save(average, build_processor(), CARD.format(**vars(args), **facts), args.out)


if __name__ == "__main__":
    main()
