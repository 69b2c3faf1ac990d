"""Small random segmenters of every kind that the catalogue serves, in the published formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import save_random_segmenter

DECODER = {
    "hidden_size": 32,
    "mlp_dim": 32,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 16,
}


def enlarge(model: Any) -> None:
    """Larger weights: of the library's start every mask is nearly zero everywhere."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 2 * parameter[0].numel() ** -0.5)


def save(folder: Path, model_class: Any, config: Any, processor: Any) -> Path:
    import torch

    torch.manual_seed(0)
    model = model_class(config)
    enlarge(model)
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_sam(folder: Path) -> Path:
    return save_random_segmenter(folder)


def save_sam_hq(folder: Path) -> Path:
    from transformers import SamHQConfig, SamHQModel, SamHQProcessor, SamImageProcessor

    vision = {
        "hidden_size": 16, "output_channels": 32, "num_hidden_layers": 2, "image_size": 64,
        "num_attention_heads": 2, "patch_size": 8, "window_size": 4, "global_attn_indexes": [1],
        "num_pos_feats": 16, "mlp_dim": 32,
    }  # fmt: skip
    prompts = {"hidden_size": 32, "image_size": 64, "patch_size": 8}
    config = SamHQConfig(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config={**DECODER, "vit_dim": 16},
    )
    images = SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
    )  # fmt: skip
    return save(folder, SamHQModel, config, SamHQProcessor(images))


def hiera() -> Any:
    """The vision side of SAM 2 at 128 pixels."""
    from transformers import Sam2HieraDetConfig, Sam2VisionConfig

    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 8, 8, 8],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    return Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )


def sam2_images() -> Any:
    from transformers import Sam2ImageProcessor

    return Sam2ImageProcessor(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )


PROMPTS_128 = {"hidden_size": 32, "image_size": 128, "patch_size": 16}

MEMORY = {
    "image_size": 128,
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 8,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32,
    "memory_attention_rope_feat_sizes": [8, 8],
}
"""What checkpoints for videos hold beside the part that segments one image."""


def save_sam2(folder: Path) -> Path:
    from transformers import Sam2Config, Sam2Model, Sam2Processor

    config = Sam2Config(
        vision_config=hiera(), prompt_encoder_config=PROMPTS_128, mask_decoder_config=DECODER
    )
    return save(folder, Sam2Model, config, Sam2Processor(sam2_images()))


def save_sam2_video(folder: Path) -> Path:
    """As SAM 2 and 2.1 are published: the model for videos, with its processor."""
    from transformers import Sam2VideoConfig, Sam2VideoModel, Sam2VideoProcessor
    from transformers import Sam2VideoVideoProcessor as Videos

    config = Sam2VideoConfig(
        vision_config=hiera(),
        prompt_encoder_config=PROMPTS_128,
        mask_decoder_config=DECODER,
        **MEMORY,
    )
    processor = Sam2VideoProcessor(sam2_images(), Videos(size={"height": 128, "width": 128}))
    return save(folder, Sam2VideoModel, config, processor)


def edgetam_vision() -> Any:
    """A convolutional backbone from timm at strides 4 to 32, as EdgeTAM's."""
    from transformers import EdgeTamVisionConfig, TimmWrapperConfig

    backbone = TimmWrapperConfig(
        architecture="test_convnext",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    return EdgeTamVisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 48, 32, 24],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )


def save_edgetam(folder: Path) -> Path:
    from transformers import EdgeTamConfig, EdgeTamModel, Sam2Processor

    config = EdgeTamConfig(
        vision_config=edgetam_vision(),
        prompt_encoder_config=PROMPTS_128,
        mask_decoder_config=DECODER,
    )
    return save(folder, EdgeTamModel, config, Sam2Processor(sam2_images()))


def save_edgetam_video(folder: Path) -> Path:
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2VideoProcessor
    from transformers import Sam2VideoVideoProcessor as Videos

    config = EdgeTamVideoConfig(
        vision_config=edgetam_vision(),
        prompt_encoder_config=PROMPTS_128,
        mask_decoder_config=DECODER,
        **{k: v for k, v in MEMORY.items() if k != "memory_attention_rope_feat_sizes"},
        memory_attention_mlp_hidden_size=32,
        perceiver_resampler_hidden_size=8,
        perceiver_resampler_mlp_intermediate_size=8,
        perceiver_resampler_attention_head_dim=8,
        perceiver_resampler_num_latents=4,
        perceiver_resampler_num_latents_2d=4,
    )
    processor = Sam2VideoProcessor(sam2_images(), Videos(size={"height": 128, "width": 128}))
    return save(folder, EdgeTamVideoModel, config, processor)


def sam3_vision() -> dict[str, Any]:
    """The vision side of SAM 3 at 56 pixels in patches of 7."""
    backbone = {
        "model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 7,
        "window_size": 4, "global_attn_indexes": [1], "pretrain_image_size": 28,
    }  # fmt: skip
    return {
        "model_type": "sam3_vision_model",
        "backbone_config": backbone,
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }


PROMPTS_56 = {"hidden_size": 32, "image_size": 56, "patch_size": 7}


def sam3_images() -> Any:
    from transformers import Sam3ImageProcessor

    return Sam3ImageProcessor(
        size={"height": 56, "width": 56}, mask_size={"height": 32, "width": 32}
    )


def save_sam3_tracker(folder: Path) -> Path:
    from transformers import Sam3TrackerConfig, Sam3TrackerModel, Sam3TrackerProcessor

    config = Sam3TrackerConfig(
        vision_config=sam3_vision(), prompt_encoder_config=PROMPTS_56, mask_decoder_config=DECODER
    )
    return save(folder, Sam3TrackerModel, config, Sam3TrackerProcessor(sam3_images()))


def save_sam3_video(folder: Path) -> Path:
    """As SAM 3 is published: detector and tracker on one backbone, with the processor of videos."""
    from safetensors.torch import load_file, save_file
    from transformers import Sam2VideoVideoProcessor as Videos
    from transformers import Sam3VideoConfig, Sam3VideoModel, Sam3VideoProcessor

    from tests.embedders import bytes_tokenizer

    small = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    detector = {
        "vision_config": sam3_vision(),
        "text_config": {
            **small, "model_type": "clip_text_model", "num_hidden_layers": 1, "vocab_size": 600,
            "projection_dim": 32, "max_position_embeddings": 32,
        },
        "geometry_encoder_config": {**small, "num_layers": 1},
        "detr_encoder_config": {**small, "num_layers": 1},
        "detr_decoder_config": {**small, "num_layers": 1, "num_queries": 5},
        "mask_decoder_config": {
            "hidden_size": 32, "num_attention_heads": 2, "num_upsampling_stages": 3
        },
    }  # fmt: skip
    tracker = {
        "vision_config": sam3_vision(),
        "prompt_encoder_config": PROMPTS_56,
        "mask_decoder_config": DECODER,
        **MEMORY,
        "image_size": 56,
    }
    config = Sam3VideoConfig(detector_config=detector, tracker_config=tracker)
    processor = Sam3VideoProcessor(
        sam3_images(), Videos(size={"height": 56, "width": 56}), bytes_tokenizer()
    )
    save(folder, Sam3VideoModel, config, processor)
    # The library writes this prefix twice; the published files hold it once.
    weights = load_file(folder / "model.safetensors")
    twice = "tracker_model.tracker_model."
    once = {k.replace(twice, "tracker_model."): v for k, v in weights.items()}
    save_file(once, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def small_sam() -> Any:
    """A model of Meta's package with 64 pixels and two layers."""
    from autolabel.models.segment_anything_shapes import Architecture, build

    return build(
        Architecture(
            width=32, depth=2, heads=2, patch=8, image=64, window=4, global_blocks=(1,),
            channels=32, mask_channels=16, decoder_depth=2, decoder_hidden=64, iou_hidden=32,
            candidates=3,
        )
    )  # fmt: skip


def random_sam(build: Callable[[], Any]) -> Any:
    """A model with larger weights than its start, so that masks have shapes."""
    import torch

    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    return model.eval()


def save_original_sam(folder: Path) -> Path:
    """A `.pth` file as Meta publishes it."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    torch.save(random_sam(small_sam).state_dict(), folder / "sam.pth")
    return folder / "sam.pth"


MOBILE_SAM_SIDE = 128
"""Pixels at which MobileSAM is tested; no weight depends on them."""


def save_mobile_sam(folder: Path) -> Path:
    """`mobile_sam.pt` as published: weights alone, at full size."""
    import torch

    from autolabel.models.mobile_sam import network
    from autolabel.models.quiet_ultralytics import load_ultralytics

    load_ultralytics()
    torch.manual_seed(0)
    model = network(MOBILE_SAM_SIDE)
    with torch.no_grad():
        for parameter in model.mask_decoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), folder / "mobile_sam.pt")
    return folder / "mobile_sam.pt"


def shrink_ultralytics(patch: Any) -> None:
    """Networks of ultralytics' SAM families small enough for tests, until the patch is undone."""
    from autolabel.models.quiet_ultralytics import load_ultralytics

    load_ultralytics()
    from ultralytics.models.sam import build, build_sam3

    def small_sam2() -> Any:
        return build._build_sam2(
            encoder_embed_dim=16,
            encoder_stages=[1, 1, 2, 1],
            encoder_num_heads=1,
            encoder_global_att_blocks=[3],
            encoder_window_spec=[8, 4, 4, 2],
            encoder_backbone_channel_list=[128, 64, 32, 16],
        )

    def small_vit(vit: Any = build_sam3.ViT, **options: Any) -> Any:
        small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_att_blocks": (1,)}
        sizes = {"img_size": 112, "pretrain_img_size": 56, "window_size": 4, "drop_path_rate": 0.0}
        return vit(**{**options, **small, **sizes})

    patch.setattr("autolabel.models.mobile_sam.SIDE", MOBILE_SAM_SIDE)
    patch.setattr("autolabel.models.ultralytics_sam2.SIDES", {2: 128, 3: 112})
    patch.setattr("autolabel.models.ultralytics_sam2.BUILDERS", {(16, 5): "build_sam2_t"})
    patch.setattr(build, "build_sam2_t", small_sam2)
    patch.setattr(build_sam3, "ViT", small_vit)


def _save_decoding(model: Any, file: Path, name: Callable[[str], str]) -> Path:
    """Weights with masks of some shape, under the names that the published file has."""
    import torch

    with torch.no_grad():
        for parameter in model.sam_mask_decoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": {name(k): v for k, v in model.state_dict().items()}}, file)
    return file


def save_ultralytics_sam2(folder: Path) -> Path:
    """`sam2_t.pt` as ultralytics and Meta publish it, small where `shrink_ultralytics` made it."""
    import torch

    torch.manual_seed(0)
    from ultralytics.models.sam import build

    return _save_decoding(build.build_sam2_t(), folder / "sam2_t.pt", lambda name: name)


def save_ultralytics_sam3(folder: Path) -> Path:
    """`sam3.pt`: the network for boxes within detector and tracker."""
    import torch

    from autolabel.models.ultralytics_sam2 import _sam3

    def published(name: str) -> str:
        vision = "image_encoder.vision_backbone."
        if name.startswith(vision):
            return name.replace(vision, "detector.backbone.vision_backbone.")
        return f"tracker.{name}"

    torch.manual_seed(0)
    return _save_decoding(_sam3(), folder / "sam3.pt", published)


def save_fast_sam(folder: Path) -> Path:
    """A segmenting YOLO of one class as ultralytics pickles it, sure of much."""
    import torch

    from autolabel.models.quiet_ultralytics import load_ultralytics

    load_ultralytics()
    from ultralytics.nn.tasks import SegmentationModel

    torch.manual_seed(0)
    model = SegmentationModel("yolov8n-seg.yaml", nc=1, verbose=False)
    with torch.no_grad():
        head = model.model[-1]
        for part in (*head.cv2.parameters(), *head.cv4.parameters(), *head.proto.parameters()):
            if part.ndim > 1:
                part.normal_(0, 2 * part[0].numel() ** -0.5)
        # The statistics of blobs in place of those of training, or all activations are near zero.
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = 1.0
        blobs = torch.nn.functional.interpolate(torch.rand(8, 3, 6, 8), (96, 128), mode="bicubic")
        model.train()(blobs)
        for part in head.cv3:
            part[-1].weight.mul_(0.1)
            part[-1].bias.fill_(1.0)
    model.names = {0: "object"}
    folder.mkdir(parents=True, exist_ok=True)
    content = {"model": model, "ema": None, "train_args": {"imgsz": 128}}
    torch.save(content, folder / "FastSAM-s.pt")
    return folder / "FastSAM-s.pt"


BUILDERS: dict[str, Callable[[Path], Path]] = {
    ".pt": save_fast_sam,
    ".pth": save_original_sam,
    "edgetam": save_edgetam,
    "edgetam_video": save_edgetam_video,
    "sam": save_sam,
    "sam2": save_sam2,
    "sam2_video": save_sam2_video,
    "sam3_tracker": save_sam3_tracker,
    "sam3_video": save_sam3_video,
    "sam_hq": save_sam_hq,
}
"""`model_type` -> what writes a small checkpoint of it."""
