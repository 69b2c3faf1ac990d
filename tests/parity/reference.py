"""Runs the original Grounding DINO; to be started in an environment that has `groundingdino-py`.

It makes a model of the original package with seeded random weights, saves it as the `.pth` that the
authors' files are like, with a vocabulary beside it, runs pictures and captions through the
package's own preparation and model, and saves what comes out:

    python reference.py --kind swin-t --folder FOLDER --images IMAGE... --captions CAPTION...

`--kind swin-b` only saves the weights; `--kind small --golden FILE.npz` writes the golden file of
the tests, whose weights are not stored but made again from their names.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from weights import first_name, random_weight, vocabulary

os.environ["HF_HUB_OFFLINE"] = "1"

CONFIGS = {"swin-t": "GroundingDINO_SwinT_OGC.py", "swin-b": "GroundingDINO_SwinB_cfg.py"}
SMALL_BERT = {
    "vocab_size": 1100, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1,
    "intermediate_size": 32, "max_position_embeddings": 32,
}  # fmt: skip
SMALL_SWIN = {
    "embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 4], "window_size": 3,
}  # fmt: skip
SMALL = {"enc_layers": 2, "dec_layers": 2, "dim_feedforward": 32, "num_queries": 20}
GOLDEN_CAPTIONS = ("red blood cell. platelet.", "a cat. black dog. smudge.")
GOLDEN_SIZES_HW = ((96, 128), (130, 75))


def text_backbone(folder: Path, small: bool) -> Path:
    """A folder from which the package loads a text backbone and a tokenizer."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    config = BertConfig(**(SMALL_BERT if small else {}))
    place = folder / "bert"
    place.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary(config.vocab_size)) + "\n", "utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(place)
    BertModel(config).save_pretrained(place)
    return place


def original(kind: str, folder: Path) -> torch.nn.Module:
    """The package's model as the package makes it."""
    import groundingdino
    from groundingdino.models import build_model
    from groundingdino.models.GroundingDINO.backbone import backbone, swin_transformer
    from groundingdino.util.slconfig import SLConfig

    configs = Path(groundingdino.__file__).parent / "config"
    args = SLConfig.fromfile(str(configs / CONFIGS.get(kind, CONFIGS["swin-t"])))
    args.device = "cpu"
    args.text_encoder_type = str(text_backbone(folder, kind == "small"))
    plain = backbone.build_swin_transformer
    if kind == "small":
        for name, value in SMALL.items():
            setattr(args, name, value)
        backbone.build_swin_transformer = lambda name, pretrain_img_size, **rest: (
            swin_transformer.SwinTransformer(pretrain_img_size, **SMALL_SWIN, **rest)
        )
    model = build_model(args)
    backbone.build_swin_transformer = plain
    return model


def build(kind: str, folder: Path, seed: int) -> torch.nn.Module:
    """The package's model with our random weights, for inference on a CPU."""
    model = original(kind, folder)
    made = {
        name: torch.from_numpy(random_weight(first_name(name), tuple(tensor.shape), seed))
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    wrong = model.load_state_dict(made, strict=False)
    assert all("relative_position_index" in name for name in wrong.missing_keys), wrong
    return model.eval()


def save(model: torch.nn.Module, path: Path) -> None:
    """As the authors' files are: prefixed, and with what today's package no longer holds."""
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    state["module.label_enc.weight"] = torch.zeros(2001, model.hidden_dim)
    places = model.bert.config.max_position_embeddings
    state["module.bert.embeddings.position_ids"] = torch.arange(places)[None]
    torch.save({"model": state}, path)


def prepare(image: Image.Image) -> torch.Tensor:
    """Pixels (3, height, width) as the package's own inference prepares them."""
    from groundingdino.util.inference import Model

    rgb = np.asarray(image.convert("RGB"))
    return Model.preprocess_image(image_bgr=rgb[:, :, ::-1].copy())


def run(model: torch.nn.Module, pixels: torch.Tensor, caption: str) -> dict[str, np.ndarray]:
    """Logits (queries, 256), boxes (queries, 4; relative centre and size) and places (queries).

    `places` are those of the image that the queries come from, the highest scores first.
    """
    from groundingdino.util.inference import preprocess_caption

    chosen = []
    topk = torch.topk
    torch.topk = lambda *args, **rest: chosen.append(topk(*args, **rest)) or chosen[-1]
    try:
        with torch.no_grad():
            out = model(pixels[None], captions=[preprocess_caption(caption=caption)])
    finally:
        torch.topk = topk
    return {
        "logits": out["pred_logits"][0].numpy(),
        "boxes": out["pred_boxes"][0].numpy(),
        "places": chosen[-1][1][0].numpy(),
    }


def compare_images(model: torch.nn.Module, options: SimpleNamespace) -> None:
    """Every image with every caption -> one `.npz` for each image."""
    for i, path in enumerate(options.images):
        pixels = prepare(Image.open(path))
        found = {"pixels": pixels.numpy()}
        for j, caption in enumerate(options.captions):
            start = time.monotonic()
            found |= {f"{name}-{j}": a for name, a in run(model, pixels, caption).items()}
            print(f"{path.name} {caption!r}: {time.monotonic() - start:.0f} s", flush=True)
        np.savez(options.folder / f"original-{i}.npz", **found)


def write_golden(model: torch.nn.Module, options: SimpleNamespace) -> None:
    """Names and shapes of the weights, pixels, captions, logits and boxes in one small file."""
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    found: dict[str, np.ndarray] = {}
    for i, (height, width) in enumerate(GOLDEN_SIZES_HW):
        coarse = np.random.RandomState(i).randint(0, 256, (6, 8, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        rgb = np.asarray(image)
        found[f"rgb-{i}"] = rgb
        pixels = torch.from_numpy((rgb / 255 - MEAN) / DEVIATION).float().permute(2, 0, 1)
        for j, caption in enumerate(GOLDEN_CAPTIONS):
            out = run(model, pixels, caption)
            tokens = int(np.isfinite(out["logits"][0]).sum())
            found[f"logits-{i}-{j}"] = out["logits"][:, :tokens]
            found[f"boxes-{i}-{j}"] = out["boxes"]
    facts = {"seed": options.seed, "shapes": shapes, "captions": GOLDEN_CAPTIONS}
    facts["vocabulary"] = SMALL_BERT["vocab_size"]
    facts["published"] = {kind: published_shapes(kind, options.folder) for kind in CONFIGS}
    np.savez_compressed(options.golden, facts=np.array(json.dumps(facts)), **found)


def published_shapes(kind: str, folder: Path) -> dict[str, list[int]]:
    """Names and shapes of all that a published model's state holds."""
    state = original(kind, folder / kind).state_dict()
    return {name: list(tensor.shape) for name, tensor in state.items()}


MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=[*CONFIGS, "small"], required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=Path, nargs="*", default=[])
    parser.add_argument("--captions", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--golden", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = build(options.kind, options.folder, options.seed)
    save(model, options.folder / f"{options.kind}.pth")
    compare_images(model, options)
    if options.golden:
        write_golden(model, options)


if __name__ == "__main__":
    main()
