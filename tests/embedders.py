"""Small random embedders in the published formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIDE = 32


def bytes_tokenizer() -> Any:
    """CLIP's tokenizer with a vocabulary of single bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={p: i for i, p in enumerate(pieces)}, merges=[])


def save_random_clip(folder: Path, seed: int = 0, width: int = 12) -> Path:
    """A genuine CLIP with random weights and a tokenizer of single bytes."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    torch.manual_seed(seed)
    tokenizer = bytes_tokenizer()
    small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {
        **small,
        "num_hidden_layers": 1,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 40,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**small, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)
    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def save_random_siglip(folder: Path) -> Path:
    """A genuine SigLIP with random weights and a tokenizer of a few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
    )

    torch.manual_seed(0)
    words = ["<pad>", "<unk>", "a", "photo", "of", "cat", "dog", "the", "nothing", "."]
    plain = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=16,
        model_input_names=["input_ids"],  # as the published tokenizers: padding counts
    )
    small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {**small, "num_hidden_layers": 1, "vocab_size": 10, "max_position_embeddings": 16}
    text |= {"projection_size": 16}
    vision = {**small, "num_hidden_layers": 1, "image_size": SIDE, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    images.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_random_dinov2(folder: Path, seed: int = 0) -> Path:
    """A genuine DINOv2 with random weights."""
    import torch
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    config = Dinov2Config(
        image_size=SIDE,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        initializer_range=0.5,
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ).save_pretrained(folder)
    return folder


def make_crops(count: int, seed: int = 0) -> list[np.ndarray]:
    """Square crops of random blobs, of several sizes."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    crops = []
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        side = 20 + 9 * i
        crops.append(np.array(coarse.resize((side, side), Image.Resampling.BICUBIC)))
    return crops
