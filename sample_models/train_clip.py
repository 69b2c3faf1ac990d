"""Train a small CLIP from a random start on crops of BCCD's `train` split.

    python sample_models/train_clip.py PATH/TO/bccd --out sample_data/models/clip

Image and text towers learn together by a contrastive loss in which every text of a crop's own
group is right (UniCL, arXiv 2204.03610): a batch holds only a few classes, so that the pairs of one
class must not be told apart as in arXiv 2103.00020. Crops on which a label would be wrong belong to
the texts for background, and random words, which belong to no crop, keep the space around them
free.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from bccd import CLASSES
from captions import SYNONYMS, read_words
from embedder_crops import Bank, augmented
from embedder_run import MEAN, STD, command, make_banks, normalised, parse_arguments, save, train
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

SIDE, PATCH = 48, 8
LONGEST_TEXT = 77
TEMPLATES = (
    "{}",
    "a {}",
    "a photo of a {}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a blurry photo of a {}.",
    "a bad photo of a {}.",
    "a microscope image of a {}",
    "a microscope image of a {}.",
)
BACKGROUND = (
    "background",
    "nothing",
    "empty",
    "empty background",
    "an empty area",
    "a blurry patch",
    "part of an object",
    "a cut off object",
    "several objects",
)
#: Of the texts of a step, how many name each class, background and nothing at all.
TEXTS_OF_CLASS, TEXTS_OF_BACKGROUND, TEXTS_OF_NOTHING = 4, 6, 14
CARD = """\
---
license: mit
library_name: transformers
pipeline_tag: zero-shot-image-classification
---

# A small CLIP for crops of blood smears

A genuine `CLIPModel` with {parameters:.2f} M parameters, trained from random weights on a CPU. It
exists so that a demo and its tests can filter labels offline in seconds. **It is a domain demo, not
a general model**: it tells red blood cells, white blood cells and platelets in stained smears like
those of its training photos apart, and each of them from empty ground and from boxes that miss
their object. It is no medical device.

```python
from transformers import AutoModel, AutoProcessor

model = AutoModel.from_pretrained("sample_data/models/clip")
processor = AutoProcessor.from_pretrained("sample_data/models/clip")
```

Give it square crops with 10-20 % of context at each side. Texts: the classes' usual names and
synonyms in templates such as "a photo of a …"; "background", "nothing", "a blurry patch" and the
like mean that the crop is no well-cut object of a class.

## Training

- Data: crops of {photos} photos of the `train` split of
  [BCCD](https://github.com/Shenggan/BCCD_Dataset) (commit d272fb1, MIT), by its hand labels. The
  last {hold_out} photos of that split were held out; the `val` and `test` splits were not touched.
- Loss: contrastive over images and texts with all texts of the crop's group as positives, which is
  supervised by the labels, and not by captions from the web as OpenAI's CLIP was.
- Command: `{command}`
- {steps} steps of {batch} crops of {side} px, {minutes:.0f} minutes with {threads} thread(s).
- Held-out photos, crops put right among the three classes and background: {watched}
- Licence of the weights: MIT, as the data.
"""


def build_tokenizer() -> CLIPTokenizer:
    """CLIP's own byte-level pair encoding, learned anew from a few hundred words."""
    ours = [name for names in SYNONYMS.values() for name in names]
    ours += [t.format(name) for t in TEMPLATES for name in (*ours, *BACKGROUND)]
    plain = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    plain.normalizer = normalizers.Lowercase()
    plain.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=letters,
        end_of_word_suffix="</w>",
    )
    plain.train_from_iterator([*ours, *read_words()], trainer)
    learned = json.loads(plain.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    pieces = [*letters, *(f"{c}</w>" for c in letters), *("".join(pair) for pair in merges)]
    pieces = list(dict.fromkeys([*pieces, "<|startoftext|>", "<|endoftext|>"]))
    vocab = {piece: i for i, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LONGEST_TEXT)


def build_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Two small transformers, random weights."""
    common = {"num_hidden_layers": 4, "num_attention_heads": 4}
    text = {
        **common,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "max_position_embeddings": LONGEST_TEXT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        **common,
        "hidden_size": 96,
        "intermediate_size": 256,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def build_processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """The image processor and the tokenizer in one."""
    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return CLIPProcessor(image_processor=images, tokenizer=tokenizer)


@dataclass
class Texts:
    """Draws the texts of a step."""

    tokenizer: CLIPTokenizer

    def __post_init__(self) -> None:
        self.words = [w for w in read_words() if w not in ("red", "white", "background")]
        self.names = [SYNONYMS[(k,)] for k in range(len(CLASSES))]

    def draw(self, rng: np.random.Generator) -> tuple[list[str], torch.Tensor]:
        """Texts and the group of each: a class, background, or -1 for what is on no crop."""
        texts, groups = [], []
        for k, names in enumerate(self.names):
            for _ in range(TEXTS_OF_CLASS):
                name = names[0] if rng.random() < 0.5 else str(rng.choice(names))
                texts.append(str(rng.choice(TEMPLATES)).format(name))
                groups.append(k)
        for name in rng.choice(BACKGROUND, TEXTS_OF_BACKGROUND, replace=False):
            template = str(rng.choice(TEMPLATES)) if rng.random() < 0.6 else "{}"
            texts.append(template.format(name))
            groups.append(len(CLASSES))
        for _ in range(TEXTS_OF_NOTHING):
            template = str(rng.choice(TEMPLATES))
            texts.append(template.format(" ".join(rng.choice(self.words, rng.integers(1, 3)))))
            groups.append(-1)
        return texts, torch.tensor(groups)

    def encoded(self, texts: list[str]) -> dict[str, torch.Tensor]:
        return self.tokenizer(texts, padding=True, return_tensors="pt")


def contrastive(
    image: torch.Tensor,
    text: torch.Tensor,
    of_image: torch.Tensor,
    of_text: torch.Tensor,
    scale: torch.Tensor,
) -> torch.Tensor:
    """UniCL's loss: in each row and column, all pairs of one group are equally right."""
    logits = scale * unit(image) @ unit(text).T
    right = (of_image[:, None] == of_text[None]).float()
    to_text = (logits.log_softmax(1) * right).sum(1) / right.sum(1).clamp(min=1)
    to_image = (logits.log_softmax(0) * right).sum(0) / right.sum(0).clamp(min=1)
    named = right.sum(0) > 0
    return -to_text.mean() - 0.5 * to_image[named].mean()


def unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features, dim=-1)


def group_of(kind: torch.Tensor) -> torch.Tensor:
    """Classes keep their number; every bad crop is background."""
    return kind.clamp(max=len(CLASSES))


@torch.no_grad()
def accuracy(model: CLIPModel, tokenizer: CLIPTokenizer, bank: Bank) -> str:
    """Share of the crops of each group whose nearest text is of that group."""
    names = [*CLASSES.values(), "background"]
    texts = tokenizer([f"a photo of a {n}." for n in names[:-1]] + names[-1:], padding=True)
    inputs = {key: torch.tensor(value) for key, value in texts.items()}
    text = unit(model.get_text_features(**inputs).pooler_output)
    pixels = normalised(bank.pixels.float() / 255)
    image = torch.cat(
        [unit(model.get_image_features(pixel_values=p).pooler_output) for p in pixels.split(256)]
    )
    found, group = (image @ text.T).argmax(1), group_of(bank.kind)
    shares = [(found[group == k] == k).float().mean().item() for k in range(len(names))]
    return ", ".join(f"{name} {share:.3f}" for name, share in zip(names, shares, strict=True))


def main() -> None:
    args = parse_arguments(__doc__.splitlines()[0], "sample_data/models/clip", 2000)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    print(f"{model.num_parameters()} parameters, {len(tokenizer)} pieces", flush=True)
    bank, held_out = make_banks(args, SIDE)
    print(f"{len(bank.kind)} crops", flush=True)
    texts = Texts(tokenizer)
    rng = np.random.default_rng(args.seed)

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        chosen = torch.randint(len(bank.kind), (args.batch,), generator=generator)
        pixels = normalised(augmented(bank.pixels[chosen], generator))
        words, of_text = texts.draw(rng)
        return contrastive(
            model.get_image_features(pixel_values=pixels).pooler_output,
            model.get_text_features(**texts.encoded(words)).pooler_output,
            group_of(bank.kind[chosen]),
            of_text,
            model.logit_scale.exp().clamp(max=100),
        )

    model.train()
    average, seconds = train(model, [], loss_of, lambda m: accuracy(m, tokenizer, held_out), args)
    facts = {
        "parameters": average.num_parameters() / 1e6,
        "photos": 205 - args.hold_out,
        "command": command("train_clip.py", args),
        "side": SIDE,
        "minutes": seconds / 60,
        "watched": accuracy(average, tokenizer, held_out),
    }
    save(average, build_processor(tokenizer), CARD.format(**vars(args), **facts), args.out)


if __name__ == "__main__":
    main()
