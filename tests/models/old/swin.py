"""A small network under the name of the backbone of the published OmDet-Turbo."""

from __future__ import annotations

from typing import Any

NAME = "swin_tiny_patch4_window7_224"
SIDE = 64


def entrypoints() -> dict[str, Any]:
    """timm's table of names, to put `small_swin` into."""
    from timm.models import _registry

    return _registry._model_entrypoints


def small_swin(pretrained: bool = False, **options: Any) -> Any:
    """Swin of 8 channels; takes what timm's own of that name takes."""
    from timm.models.swin_transformer import _create_swin_transformer

    assert not pretrained
    sizes = {"patch_size": 4, "window_size": 2, "embed_dim": 8}
    return _create_swin_transformer(
        NAME, pretrained=False, **sizes, depths=(1,) * 4, num_heads=(1,) * 4, **options
    )
