"""Small random embedders of every kind that the catalogue serves, in the published formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.embedders import SIDE, save_random_clip, save_random_dinov2, save_random_siglip

WORDS = ["a", "photo", "of", "cat", "dog", "the", "nothing", "."]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
VISION = {**SMALL, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8}
SPREAD = 0.3
"""Deviation of the first weights: with the library's own, all images look alike."""


def bert_tokenizer() -> Any:
    from transformers import BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return BertTokenizerFast(vocab={w: i for i, w in enumerate([*special, *WORDS])})


def roberta_tokenizer(length: int) -> Any:
    """Begin, words, end; padding has id 1, as in XLM-RoBERTa."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", model_max_length=length,
    )  # fmt: skip


def clip_images() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )


def save(folder: Path, model_class: Any, config: Any, processor: Any) -> Path:
    import torch

    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


# -- image and text -----------------------------------------------------------------------------


def save_align(folder: Path) -> Path:
    from transformers import AlignConfig, AlignModel, AlignProcessor, EfficientNetImageProcessor

    tokenizer = bert_tokenizer()
    text = {**SMALL, "num_hidden_layers": 1, "vocab_size": len(tokenizer)}
    vision = {
        "image_size": SIDE, "width_coefficient": 0.25, "depth_coefficient": 0.1,
        "hidden_dim": 64, "kernel_sizes": [3, 3], "in_channels": [32, 16], "out_channels": [16, 64],
        "depthwise_padding": [], "strides": [1, 2], "num_block_repeats": [1, 1],
        "expand_ratios": [1, 6], "depth_divisor": 4,
    }  # fmt: skip
    config = AlignConfig(text_config={**text, "max_position_embeddings": 40}, vision_config=vision)
    config.projection_dim = 16  # as wide as the last block of this vision side
    config.temperature_init_value = 0.05
    images = EfficientNetImageProcessor(
        size={"height": SIDE, "width": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return save(folder, AlignModel, config, AlignProcessor(images, tokenizer))


def save_altclip(folder: Path) -> Path:
    from transformers import AltCLIPConfig, AltCLIPModel, AltCLIPProcessor

    tokenizer = roberta_tokenizer(length=38)
    text = {
        **SMALL, "num_hidden_layers": 1, "vocab_size": len(tokenizer), "project_dim": 12,
        "max_position_embeddings": 40, "pad_token_id": 1, "initializer_range": SPREAD,
    }  # fmt: skip
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
    return save(folder, AltCLIPModel, config, AltCLIPProcessor(clip_images(), tokenizer))


def save_chinese_clip(folder: Path) -> Path:
    from transformers import (
        ChineseCLIPConfig,
        ChineseCLIPImageProcessor,
        ChineseCLIPModel,
        ChineseCLIPProcessor,
    )

    tokenizer = bert_tokenizer()
    text = {**SMALL, "num_hidden_layers": 1, "vocab_size": len(tokenizer)}
    text |= {"max_position_embeddings": 40}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
    images = ChineseCLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return save(folder, ChineseCLIPModel, config, ChineseCLIPProcessor(images, tokenizer))


def save_metaclip_2(folder: Path) -> Path:
    from transformers import CLIPProcessor, MetaClip2Config, MetaClip2Model

    tokenizer = roberta_tokenizer(length=40)
    text = {
        **SMALL, "num_hidden_layers": 1, "vocab_size": len(tokenizer), "pad_token_id": 1,
        "max_position_embeddings": 40, "bos_token_id": 0, "eos_token_id": 2,
    }  # fmt: skip
    config = MetaClip2Config(text_config=text, vision_config=VISION, projection_dim=12)
    return save(folder, MetaClip2Model, config, CLIPProcessor(clip_images(), tokenizer))


def save_siglip2(folder: Path) -> Path:
    """The variant that takes images of any shape."""
    from transformers import (
        Siglip2Config,
        Siglip2ImageProcessor,
        Siglip2Model,
        Siglip2Processor,
        Siglip2Tokenizer,
    )

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = [*"abcdefghijklmnopqrstuvwxyz.▁"]
    vocabulary = {w: i for i, w in enumerate([*special, *letters])}
    tokenizer = Siglip2Tokenizer(vocab=vocabulary, merges=[])
    text = {
        **SMALL, "num_hidden_layers": 1, "vocab_size": len(vocabulary), "projection_size": 16,
        "max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
    }  # fmt: skip
    vision = {**SMALL, "num_hidden_layers": 1, "patch_size": 8, "num_patches": 16}
    config = Siglip2Config(text_config=text, vision_config=vision)
    images = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return save(folder, Siglip2Model, config, Siglip2Processor(images, tokenizer))


# -- images alone -------------------------------------------------------------------------------


def save_dinov2_with_registers(folder: Path) -> Path:
    from transformers import (
        BitImageProcessor,
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
    )

    config = Dinov2WithRegistersConfig(
        **{k: v for k, v in VISION.items() if k != "intermediate_size"},
        mlp_ratio=2, num_register_tokens=4, initializer_range=SPREAD,
    )  # fmt: skip
    images = BitImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return save(folder, Dinov2WithRegistersModel, config, images)


def save_dinov3_vit(folder: Path) -> Path:
    from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessor, DINOv3ViTModel

    config = DINOv3ViTConfig(**VISION, num_register_tokens=4, initializer_range=SPREAD)
    images = DINOv3ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    return save(folder, DINOv3ViTModel, config, images)


def save_dinov3_convnext(folder: Path) -> Path:
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel, DINOv3ViTImageProcessor

    config = DINOv3ConvNextConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], initializer_range=SPREAD
    )
    images = DINOv3ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    return save(folder, DINOv3ConvNextModel, config, images)


def save_ijepa(folder: Path) -> Path:
    from transformers import IJepaConfig, IJepaModel, ViTImageProcessor

    config = IJepaConfig(**VISION, initializer_range=SPREAD)
    return save(folder, IJepaModel, config, ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


def save_vit(folder: Path) -> Path:
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    config = ViTConfig(**VISION, initializer_range=SPREAD)
    return save(folder, ViTModel, config, ViTImageProcessor(size={"height": SIDE, "width": SIDE}))


BUILDERS: dict[str, dict[str, Callable[[Path], Path]]] = {
    "image-text": {
        "align": save_align,
        "altclip": save_altclip,
        "chinese_clip": save_chinese_clip,
        "clip": save_random_clip,
        "metaclip_2": save_metaclip_2,
        "siglip": save_random_siglip,
        "siglip2": save_siglip2,
    },
    "image": {
        "dinov2": save_random_dinov2,
        "dinov2_with_registers": save_dinov2_with_registers,
        "dinov3_convnext": save_dinov3_convnext,
        "dinov3_vit": save_dinov3_vit,
        "ijepa": save_ijepa,
        "vit": save_vit,
    },
}
"""task -> `model_type` -> what writes a small checkpoint of it."""
