"""Original Grounding DINO files, `groundingdino_swint_ogc.pth` and the like (arXiv 2303.05499).

The weights are converted to the format of transformers' checkpoints once, and kept in the user's
cache under the file's SHA-256; what runs is the adapter of every other Grounding DINO. The text
model's vocabulary, that of bert-base-uncased, is not in the file and is looked for around it.

The original keeps reference boxes 0.001 of the image away from its edges while it refines them,
transformers 0.00001, so that boxes at an edge differ; here the margin is the original's.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from autolabel.errors import AutolabelError
from autolabel.models.cache import cache_folder
from autolabel.models.grounding_dino import SEPARATORS, GroundingDino
from autolabel.models.grounding_dino_keys import architecture, plain, rename
from autolabel.registry import Located, hub_cache

VERSION = 1
"""Of the conversion; a higher one makes every cached folder anew."""

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
TOKENIZER_HUB_ID = "google-bert/bert-base-uncased"
TOKENIZER_CACHED = (
    TOKENIZER_HUB_ID,
    "bert-base-uncased",
    "IDEA-Research/grounding-dino-tiny",
    "IDEA-Research/grounding-dino-base",
)
"""Hub ids whose tokenizer is that of bert-base-uncased."""

MARGIN = 1e-3
"""Share of the image that the original keeps between a reference box and the image's edges."""

MARKS = ("[CLS]", "[SEP]", ".", "?")
"""The tokens of `SEPARATORS`, in the order of their ids."""


def load_original(located: Located, device: str) -> GroundingDino:
    """Return the adapter of an original `.pth` file; converts it first where that was not done yet.

    Raises:
        AutolabelError: the file is none, lacks weights or has too many, there is no vocabulary for
            it, or there is no room for what is converted.
    """
    adapter = GroundingDino(replace(located, path=converted(located)), device)
    forward = adapter.model.forward

    def with_margin(*arguments: Any, **options: Any) -> Any:
        with _Margin():
            return forward(*arguments, **options)

    adapter.model.forward = with_margin
    return adapter


class _Margin(TorchFunctionMode):
    """Inside it `torch.special.logit`, used on nothing but reference boxes, keeps `MARGIN`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.special.logit:
            return func(*args, **(kwargs or {}))
        share = args[0].clamp(min=0, max=1)
        return torch.log(share.clamp(min=MARGIN) / (1 - share).clamp(min=MARGIN))


def converted(located: Located) -> Path:
    """Return the folder of an original file in transformers' format, made where it is missing."""
    own = _files_beside(located.path)
    folder = (
        cache_folder()
        / "models"
        / "-".join([f"grounding-dino-v{VERSION}", _digest(located), *_tag(own)])
    )
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not folder.is_dir():
                _convert(located, own or _from_hub(located), folder)
    except OSError as e:
        raise AutolabelError(
            f"cannot write the converted model to {folder}: {e.strerror or e}",
            hint="make room there, or set XDG_CACHE_HOME to a folder on another disk",
        ) from e
    return folder


def _convert(located: Located, tokenizer_folder: Path, folder: Path) -> None:
    """Write into a folder of another name, which gets its own when everything is in it."""
    state = plain(_read(located))
    config = _config(located, state)
    tokenizer = _tokenizer(tokenizer_folder, config.text_config.vocab_size)
    renamed = rename(state)
    if renamed.left_over:
        raise _refused(located, f"it holds weights of no known part: {_few(renamed.left_over)}")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        _save(part, renamed.weights, config, tokenizer)
        _check(located, part)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _read(located: Located) -> dict[str, torch.Tensor]:
    try:
        found = torch.load(located.path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise AutolabelError(
            f"{located.path} is refused: it is not a file of plain weights, and may hold code",
            hint="save the weights alone, torch.save({'model': model.state_dict()}, FILE)",
        ) from e
    except Exception as e:  # torch's reader raises what the broken bytes make it raise
        raise _refused(located, " ".join(str(e).split())[:200]) from e
    state: Any = found.get("model", found) if isinstance(found, dict) else None
    if not isinstance(state, dict) or not state:
        raise _refused(located, "it holds no weights")
    if not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise _refused(located, "it holds more than weights")
    return state


def _config(located: Located, state: dict[str, torch.Tensor]) -> Any:
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    try:
        shapes = architecture(state)
        return GroundingDinoConfig(
            **shapes
            | {
                "architectures": ["GroundingDinoForObjectDetection"],
                "backbone_config": SwinConfig(**shapes["backbone_config"]),
                "text_config": BertConfig(**shapes["text_config"]),
            }
        )
    except KeyError as e:
        raise _refused(located, f"it has no {e.args[0]}") from e
    except (ValueError, IndexError, ZeroDivisionError) as e:
        raise _refused(located, " ".join(str(e).split())[:200]) from e


def _save(folder: Path, weights: dict[str, torch.Tensor], config: Any, tokenizer: Any) -> None:
    from transformers import GroundingDinoImageProcessor, GroundingDinoProcessor

    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 800, "longest_edge": 1333})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)


def _check(located: Located, folder: Path) -> None:
    """Load what was written; every weight must find its place, and every place its weight."""
    from transformers import GroundingDinoForObjectDetection

    try:
        _, info = GroundingDinoForObjectDetection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (RuntimeError, ValueError, KeyError) as e:
        raise _refused(located, " ".join(str(e).split())[:200]) from e
    if info["missing_keys"]:
        raise _refused(located, f"it lacks weights: {_few(sorted(info['missing_keys']))}")
    if info["unexpected_keys"]:
        names = _few(sorted(info["unexpected_keys"]))
        raise _refused(located, f"it holds weights that the model has no place for: {names}")


def _tokenizer(folder: Path, words: int) -> Any:
    """Return the tokenizer of a folder, if its vocabulary is the one that the model knows.

    Raises:
        AutolabelError: it is another, or does not load.
    """
    from transformers import BertTokenizerFast

    try:
        tokenizer = BertTokenizerFast.from_pretrained(folder, local_files_only=True)
        ids = tokenizer.convert_tokens_to_ids(list(MARKS))
    except Exception as e:  # the tokenizer library raises bare Exceptions on files that it rejects
        raise AutolabelError(
            f"the tokenizer in {folder} does not load: {' '.join(str(e).split())[:200]}",
            hint=_hint(),
        ) from e
    if ids != sorted(SEPARATORS) or len(tokenizer) != words:
        raise AutolabelError(
            f"the tokenizer in {folder} is not the model's: it has {len(tokenizer)} tokens with "
            f"{' '.join(MARKS)} at {ids}, not {words} with them at {sorted(SEPARATORS)}",
            hint=_hint(),
        )
    return tokenizer


def _files_beside(file: Path) -> Path | None:
    """Return the file's folder, or `bert-base-uncased` in it, where it holds a tokenizer."""
    for folder in (file.parent, file.parent / "bert-base-uncased"):
        if any((folder / name).is_file() for name in TOKENIZER_FILES):
            return folder
    return None


def _from_hub(located: Located) -> Path:
    """Return a folder of the hub's cache with the tokenizer, fetched where that is allowed."""
    from huggingface_hub import constants, snapshot_download

    patterns = ["*.json", "*.txt"]
    for folder in (folder for hub_id in TOKENIZER_CACHED for folder in hub_cache.snapshots(hub_id)):
        if any((folder / name).is_file() for name in TOKENIZER_FILES):
            return folder
    reason = "the network is off (HF_HUB_OFFLINE)"
    if not constants.HF_HUB_OFFLINE:
        try:
            return Path(snapshot_download(TOKENIZER_HUB_ID, allow_patterns=patterns))
        except Exception as e:  # the hub client raises what its HTTP library does
            reason = f"the hub does not answer ({type(e).__name__})"
    raise AutolabelError(
        f"{located.name} needs the vocabulary of bert-base-uncased, which is neither beside it nor "
        f"in {constants.HF_HUB_CACHE}, and cannot be fetched: {reason}",
        hint=_hint(),
    )


def _hint() -> str:
    return (
        "put bert-base-uncased's vocab.txt or tokenizer.json beside the .pth, or run "
        f"`hf download {TOKENIZER_HUB_ID} tokenizer.json vocab.txt` where there is a network"
    )


def _digest(located: Located) -> str:
    return located.revision.removeprefix("sha256:")


def _tag(tokenizer_folder: Path | None) -> list[str]:
    """Tell converted folders apart whose file is the same and whose tokenizer is not."""
    if tokenizer_folder is None:
        return []
    sha = hashlib.sha256()
    for name in TOKENIZER_FILES:
        path = tokenizer_folder / name
        sha.update(path.read_bytes() if path.is_file() else b"")
    return [sha.hexdigest()[:16]]


def _few(names: Any) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _refused(located: Located, reason: str) -> AutolabelError:
    return AutolabelError(
        f"{located.path} is not an original Grounding DINO file: {reason}",
        hint="use the authors' groundingdino_swint_ogc.pth or groundingdino_swinb_cogcoor.pth, "
        "or a transformers folder",
    )
