"""Writes the checkpoints in this folder as transformers 4.57 did, in the layout of those published.

It runs in an environment of its own, from the root of the repository:

    python -m venv old
    old/bin/pip install 'transformers==4.57.*' torch torchvision timm sentencepiece protobuf
    old/bin/pip install pytest pyarrow
    old/bin/python -m tests.models.old.make_old_checkpoints

Beside each checkpoint lies what that library answered, `answer.json`, for the photo that `photo`
makes. Weights are random.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from tests.models.checkpoints import liven, text_tower
from tests.models.checkpoints_segmenters import (
    DECODER,
    MEMORY,
    PROMPTS_128,
    edgetam_vision,
    enlarge,
    hiera,
)
from tests.models.old import swin

HERE = Path(__file__).parent
BOXES = [[8.0, 8.0, 60.0, 80.0], [40.0, 20.0, 120.0, 100.0]]
TEXTS = ["cat", "a red cell"]


def photo(side: int) -> np.ndarray:
    """Squares of random colours; as large as the model's input, so that nothing is resampled."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return coarse.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


def keep(folder: Path, answer: dict[str, torch.Tensor]) -> None:
    rounded = {name: np.round(found.numpy(), 5).tolist() for name, found in answer.items()}
    (folder / "answer.json").write_text(json.dumps(rounded), "utf-8")


def segmenter(name: str, config: Any, single: Any, whole: Any, processor: Any) -> None:
    """A checkpoint of `whole`, and what its part for single images, `single`, answers."""
    torch.manual_seed(0)
    model = whole(config)
    enlarge(model)
    model.half()  # for files of half the size
    model.tie_weights()
    model.save_pretrained(HERE / name)
    processor.save_pretrained(HERE / name)
    images = transformers.Sam2Processor(sam2_images())
    inputs = images(images=photo(128), input_boxes=[BOXES], return_tensors="pt")
    with torch.no_grad():
        found = single.from_pretrained(HERE / name, dtype=torch.float32).eval()(
            pixel_values=inputs["pixel_values"],
            input_boxes=inputs["input_boxes"].float(),
            multimask_output=True,
        )
    keep(HERE / name, {"iou": found.iou_scores[0], "logits": found.pred_masks[0].mean((-1, -2))})


def sam2_images() -> Any:
    return transformers.Sam2ImageProcessorFast(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )


def video_processor() -> Any:
    videos = transformers.Sam2VideoVideoProcessor(size={"height": 128, "width": 128})
    return transformers.Sam2VideoProcessor(sam2_images(), videos)


def segmenters() -> None:
    # Merely to compare with it, the library would ask the hub for EdgeTAM's own backbone.
    edgetam = transformers.models.edgetam.configuration_edgetam
    edgetam.AutoConfig.from_pretrained = lambda *_, **__: transformers.TimmWrapperConfig()
    parts = {"prompt_encoder_config": PROMPTS_128, "mask_decoder_config": DECODER}
    segmenter(
        "sam2_video",
        transformers.Sam2VideoConfig(
            vision_config=hiera(), **parts, **MEMORY, mask_downsampler_total_stride=4
        ),
        transformers.Sam2Model,
        transformers.Sam2VideoModel,
        video_processor(),
    )
    segmenter(
        "edgetam",
        transformers.EdgeTamConfig(vision_config=edgetam_vision(), **parts),
        transformers.EdgeTamModel,
        transformers.EdgeTamModel,
        transformers.Sam2Processor(sam2_images()),
    )


def clip_tokenizer(folder: Path) -> Any:
    """CLIP's tokenizer over single bytes, without merges."""
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return transformers.CLIPTokenizerFast.from_pretrained(folder, model_max_length=77)


def omdet_turbo() -> None:
    folder = HERE / "omdet_turbo"
    swin.entrypoints()[swin.NAME] = swin.small_swin
    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder)
    config = transformers.OmDetTurboConfig(
        text_config={"model_type": "clip_text_model", **text_tower(tokenizer, 77)},
        image_size=swin.SIDE,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        class_embed_dim=16,
        task_encoder_hidden_dim=24,
        encoder_hidden_dim=24,
        encoder_in_channels=[16, 32, 64],
        vision_features_channels=[24, 24, 24],
        encoder_attention_heads=3,
        encoder_dim_feedforward=32,
        decoder_hidden_dim=24,
        decoder_num_heads=3,
        decoder_num_layers=2,
        decoder_dim_feedforward=32,
        num_queries=20,
    )
    model = liven(transformers.OmDetTurboForObjectDetection(config)).half()
    model.save_pretrained(folder)
    square = {"height": swin.SIDE, "width": swin.SIDE}
    processor = transformers.OmDetTurboProcessor(
        transformers.DetrImageProcessor(size=square, do_pad=False), tokenizer
    )
    processor.save_pretrained(folder)
    inputs = processor(photo(swin.SIDE), text=TEXTS, return_tensors="pt")
    with torch.no_grad():
        found = model.float()(**inputs)
    keep(
        folder,
        {"scores": found.decoder_class_logits[0].sigmoid(), "boxes": found.decoder_coord_logits[0]},
    )


def siglip() -> None:
    folder = HERE / "siglip"
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a photo of a cat", "a red cell", "the dog, a white cell."] * 20),
        model_prefix=str(folder / "spiece"),
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        pad_piece="<pad>",
        normalization_rule_name="identity",
        minloglevel=2,
    )
    (folder / "spiece.vocab").unlink()
    torch.manual_seed(0)
    tokenizer = transformers.SiglipTokenizer(str(folder / "spiece.model"), model_max_length=16)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    text = {**small, "num_hidden_layers": 1, "vocab_size": 60, "max_position_embeddings": 16}
    vision = {**small, "num_hidden_layers": 1, "image_size": 32, "patch_size": 8}
    config = transformers.SiglipConfig(
        text_config={**text, "projection_size": 16}, vision_config=vision
    )
    model = transformers.SiglipModel(config).eval()
    model.save_pretrained(folder)
    images = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    processor = transformers.SiglipProcessor(images, tokenizer)
    processor.save_pretrained(folder)
    inputs = processor(
        images=photo(32), text=TEXTS, padding="max_length", max_length=16, return_tensors="pt"
    )
    with torch.no_grad():
        found = model(**inputs)
    keep(folder, {"image": found.image_embeds, "text": found.text_embeds})


if __name__ == "__main__":
    assert transformers.__version__.startswith("4.57"), "this writes what transformers 4.57 wrote"
    segmenters()
    omdet_turbo()
    siglip()
