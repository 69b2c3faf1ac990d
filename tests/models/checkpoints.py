"""Small random checkpoints of the real detector classes, each with its processor and a tokenizer.

`DETECTORS` names one builder for each `model_type`; the contract test fails for a kind without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.conftest import save_random_detector
from tests.embedders import save_random_clip

SIDE = 64


def clip_tokenizer(length: int = 77, pad: str = "<|endoftext|>") -> Any:
    """CLIP's own tokenizer over single bytes, without merges."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {p: i for i, p in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length, pad_token=pad)


def text_tower(tokenizer: Any, positions: int) -> dict[str, Any]:
    """Sizes of a small CLIP text model for a tokenizer."""
    return {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": positions,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def liven(model: Any, scale: float = 1.0) -> Any:
    """Weights wide enough that images, places and texts make a difference."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, scale * parameter[0].numel() ** -0.5)
    return model.eval()


def save_owlvit(folder: Path) -> Path:
    """OWL-ViT of 64 boxes."""
    from transformers import (
        OwlViTConfig,
        OwlViTForObjectDetection,
        OwlViTImageProcessor,
        OwlViTProcessor,
    )

    return _save_owl(
        folder, OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor
    )


def save_owlv2(folder: Path) -> Path:
    """OWLv2 of 64 boxes."""
    from transformers import (
        Owlv2Config,
        Owlv2ForObjectDetection,
        Owlv2ImageProcessor,
        Owlv2Processor,
    )

    return _save_owl(
        folder, Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor
    )


def _save_owl(folder: Path, config: Any, model: Any, images: Any, processor: Any) -> Path:
    import torch

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(64, pad="!")
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "image_size": SIDE,
        "patch_size": 8,
    }
    sizes = config(text_config=text_tower(tokenizer, 64), vision_config=vision, projection_dim=16)
    liven(model(sizes), 2.0).save_pretrained(folder)
    processor(images(size={"height": SIDE, "width": SIDE}), tokenizer).save_pretrained(folder)
    return folder


def save_omdet_turbo(folder: Path) -> Path:
    """OmDet-Turbo of 20 queries, on transformers' own Swin."""
    import torch
    from transformers import (
        DetrImageProcessor,
        OmDetTurboConfig,
        OmDetTurboForObjectDetection,
        OmDetTurboProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    config = OmDetTurboConfig(
        text_config={"model_type": "clip_text_model", **text_tower(tokenizer, 77)},
        backbone_config=SwinConfig(
            image_size=SIDE,
            window_size=2,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            out_indices=[2, 3, 4],
        ),
        apply_layernorm_after_vision_backbone=False,
        image_size=SIDE,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        class_embed_dim=16,
        task_encoder_hidden_dim=32,
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 32, 64],
        vision_features_channels=[32, 32, 32],
        encoder_attention_heads=2,
        encoder_dim_feedforward=32,
        decoder_hidden_dim=32,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=32,
        num_queries=20,
    )
    liven(OmDetTurboForObjectDetection(config)).save_pretrained(folder)
    images = DetrImageProcessor(size={"height": SIDE, "width": SIDE}, do_pad=False)
    OmDetTurboProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def florence_tokenizer() -> Any:
    """BART's tokenizer over single bytes, with Florence-2's locations and marks."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import BartTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "<mask>"]
    marks = ["<od>", "</od>", "<poly>", "</poly>", "<sep>", *(f"<loc_{n}>" for n in range(1000))]
    return BartTokenizer(
        vocab={p: i for i, p in enumerate(pieces)},
        merges=[],
        image_token="<image>",
        extra_special_tokens=marks,
    )


def save_florence2(folder: Path) -> Path:
    """Florence-2 that answers with at most 24 tokens, mostly locations."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        GenerationConfig,
    )

    torch.manual_seed(0)
    tokenizer = florence_tokenizer()
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": tokenizer.eos_token_id,
    }
    config = Florence2Config(
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "max_position_embeddings": 128,
            **ids,
        },
        vision_config={
            "depths": [1, 1, 1, 1],
            "embed_dim": [8, 8, 16, 16],
            "num_heads": [1, 1, 2, 2],
            "num_groups": [1, 1, 2, 2],
            "window_size": 4,
            "drop_path_rate": 0.0,
            "projection_dim": 16,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        **ids,
    )
    model = liven(Florence2ForConditionalGeneration(config), 2.0)
    model.generation_config = GenerationConfig(num_beams=2, max_new_tokens=24, **ids)
    model.save_pretrained(folder)
    images = CLIPImageProcessor(
        size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_seq_length=5
    )
    parsing = {"phrase_grounding": {}, "description_with_bboxes_or_polygons": {}}
    processor = Florence2Processor(images, tokenizer, post_processor_config=parsing)
    processor.save_pretrained(folder)
    return folder


def save_yolo_world(file: Path) -> Path:
    """YOLO-World's nano size, with a random CLIP of its text encoder's width beside it."""
    from autolabel.models.quiet_ultralytics import load_ultralytics
    from autolabel.models.yolo_text import TEXT_ENCODER

    load_ultralytics()
    from ultralytics.nn.tasks import WorldModel

    save_random_clip(file.parent / TEXT_ENCODER, width=512)
    return save_yolo(file, WorldModel("yolov8n-worldv2.yaml", verbose=False))


def save_yolo(file: Path, network: Any) -> Path:
    """An ultralytics checkpoint of 64 pixels, every anchor of which scores something else.

    What its layers normalise by is measured on noise, for else the image would fade on its way.
    """
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("logit_scale"):
                parameter.fill_(0.7)
            if ".cv4." in name and name.endswith("bias"):
                parameter.fill_(-0.5)
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        network.train()(torch.nn.functional.interpolate(torch.rand(8, 3, 9, 9), SIDE))
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network.half().eval(), "ema": None, "train_args": {"imgsz": SIDE}}, file)
    return file


def save_mm_grounding_dino(folder: Path) -> Path:
    """MM-Grounding-DINO of 20 queries."""
    from tests.models.test_grounding_dino import save_mm_detector

    return save_mm_detector(folder, save_random_detector(folder.with_name(f"{folder.name}-plain")))


def save_sam3(folder: Path) -> Path:
    """SAM 3 of 20 queries."""
    import torch
    from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(32)
    side = 56
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "dropout": 0.0,
    }
    backbone = {
        "model_type": "sam3_vit_model",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": side,
        "pretrain_image_size": 28,
        "window_size": 2,
        "global_attn_indexes": [1],
    }
    config = Sam3Config(
        vision_config={
            "backbone_config": backbone,
            "fpn_hidden_size": 16,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            "model_type": "clip_text_model",
            **text_tower(tokenizer, 32),
            "projection_dim": 16,
        },
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 20},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2},
    )
    liven(Sam3Model(config), 2.0).save_pretrained(folder)
    square = {"height": side, "width": side}
    Sam3Processor(Sam3ImageProcessor(size=square), tokenizer).save_pretrained(folder)
    return folder


def save_sam3_lite_text(folder: Path) -> Path:
    """SAM 3 of 20 queries with a text encoder of its own kind."""
    import json

    import torch
    from transformers import Sam3LiteTextConfig, Sam3LiteTextModel

    config = json.loads((save_sam3(folder) / "config.json").read_text("utf-8"))
    small: dict[str, Any] = {
        "hidden_size": 16,
        "num_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "dropout": 0.0,
    }
    text = config["text_config"]
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
    torch.manual_seed(0)
    lite = Sam3LiteTextConfig(
        vision_config=config["vision_config"],
        text_config={
            **{name: text[name] for name in names},
            "num_hidden_layers": 3,
            "max_position_embeddings": 32,
            "projection_dim": 16,
            "repmixer_kernel_size": 3,
        },
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 20},
        mask_decoder_config={"hidden_size": 16, "num_attention_heads": 2},
    )
    liven(Sam3LiteTextModel(lite), 2.0).save_pretrained(folder)
    return folder


def save_sam3_video(folder: Path) -> Path:
    """The published SAM 3: its detector within the video model, beside the tracker."""
    import json

    import torch
    from safetensors.torch import load_file, save_file

    save_sam3(folder)
    weights = load_file(folder / "model.safetensors")
    weights = {f"detector_model.{name}": tensor for name, tensor in weights.items()}
    weights["tracker_model.no_memory_embedding"] = torch.zeros(1, 1, 16)
    weights["tracker_neck.fpn_layers.0.proj1.bias"] = torch.zeros(16)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text("utf-8"))
    whole = {"model_type": "sam3_video", "detector_config": config}
    (folder / "config.json").write_text(json.dumps(whole), "utf-8")
    return folder


DETECTORS: Mapping[str, Callable[[Path], Path]] = {
    ".pt": save_yolo_world,
    "florence2": save_florence2,
    "grounding-dino": save_random_detector,
    "mm-grounding-dino": save_mm_grounding_dino,
    "omdet-turbo": save_omdet_turbo,
    "owlv2": save_owlv2,
    "owlvit": save_owlvit,
    "sam3": save_sam3,
    "sam3_lite_text": save_sam3_lite_text,
    "sam3_video": save_sam3_video,
}

UNSCORED = frozenset({"florence2"})
"""Kinds whose boxes have no scores."""
