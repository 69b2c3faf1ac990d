"""Students of ultralytics: where one starts from, and what a trained one finds.

Ultralytics is under AGPL-3.0. `autolabel.models.quiet_ultralytics` must have loaded it before.
"""

from __future__ import annotations

import copy
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from ultralytics.data.augment import LetterBox
from ultralytics.nn import tasks
from ultralytics.utils import ROOT, nms, ops

from autolabel.config import TrainConfig
from autolabel.errors import AutolabelError, UsageError
from autolabel.models import device as devices
from autolabel.models.cache import cache_folder
from autolabel.models.checked_pickle import load_network
from autolabel.ops.arrays import Pixels
from autolabel.ops.masks import encode
from autolabel.reading import LARGEST_YAML, parse_yaml, read_regular
from autolabel.registry.checksums import sha256_of
from autolabel.train.network import check_network
from autolabel.types import Objects

_NETWORKS = {tasks.DetectionModel: False, tasks.SegmentationModel: True}
_NMS_IOU = 0.7  # that of ultralytics
_AT_ONCE = 16
_FOREVER = 1e6  # seconds; its NMS else gives up on a busy machine, and finds less
_NO_FETCH = "nothing is fetched: name yolo26n.yaml for a random start, or a .pt file that is here"


@dataclass(frozen=True)
class Start:
    """Where a student starts from.

    Attributes:
        name: of the student.
        network: its layers, as ultralytics describes them.
        weights: a trained network, or None for a random start.
        masks: whether it finds masks.
        identity: ``student`` and ``revision``, the hash of what it starts from.
    """

    name: str
    network: dict[str, Any]
    weights: nn.Module | None
    masks: bool
    identity: dict[str, str]


def find_start(config: TrainConfig, has_masks: bool) -> Start:
    """Find the student that the options name, for boxes or for masks.

    Raises:
        AutolabelError: it is not found, is not a detector, or cannot do the task.
    """
    file = _file(config.student)
    if file.suffix == ".pt":
        start = _from_checkpoint(file)
    else:
        wants_masks = config.task == "segment" or (config.task == "auto" and has_masks)
        start = _from_yaml(_with_masks(file) if wants_masks else file)
    if config.task != "auto" and start.masks != (config.task == "segment"):
        raise UsageError(
            f"student {config.student} finds {'masks' if start.masks else 'boxes'}, and the task "
            f"is {config.task}",
            hint="leave --task out, or name a student for that task, such as yolo26n-seg.yaml",
        )
    if start.masks and not has_masks:
        raise UsageError(
            f"student {config.student} learns masks, and the labels have none",
            hint="run autolabel refine first, or name a student for boxes, such as yolo26n.yaml",
        )
    return start


def _file(reference: str) -> Path:
    path = Path(reference).expanduser()
    if "://" in reference or path.suffix not in (".pt", ".yaml", ".yml", ""):
        raise UsageError(f"student {reference!r} is neither a .yaml nor a .pt file", hint=_NO_FETCH)
    if path.suffix in (".yaml", ".yml"):
        return path
    named = path if path.suffix else path.with_name(path.name + ".pt")
    for here in (named, cache_folder() / named.name):
        if here.is_file():
            return here
    raise UsageError(f"student {reference} was not found: there is no {named}", hint=_NO_FETCH)


def _with_masks(file: Path) -> Path:
    """Return the variant of a model description that finds masks, where there is one."""
    if file.stem.endswith("-seg") or file.is_file():
        return file
    variant = file.with_name(f"{file.stem}-seg{file.suffix}")
    return variant if _packaged(variant) else file


def _packaged(file: Path) -> Path | None:
    """Find the description that ultralytics ships as that name: yolo26n.yaml is in yolo26.yaml."""
    if len(file.parts) > 1:
        return None
    scale = tasks.guess_model_scale(file)
    names = [file.name, file.name.replace(scale, "", 1) if scale else file.name]
    if scale:
        head, _, tail = file.name.rpartition(scale if "-" not in file.name else f"{scale}-")
        names.append(head + ("-" if "-" in file.name else "") + tail)
    known = {p.name: p for p in sorted((ROOT / "cfg" / "models").rglob("*.yaml"))}
    return next((known[name] for name in names if name in known), None)


def _from_yaml(file: Path) -> Start:
    source = file if file.is_file() else _packaged(file)
    if source is None:
        raise UsageError(
            f"student {file} was not found, and ultralytics ships none of that name", hint=_NO_FETCH
        )
    try:
        data = read_regular(source, LARGEST_YAML)
        network = parse_yaml(data.decode("utf-8-sig"))
    except (OSError, ValueError) as e:
        raise AutolabelError(
            f"student {file} cannot be read: {' '.join(str(e).split())[:160]}",
            hint="name a model description in YAML",
        ) from e
    scales = network.get("scales") if isinstance(network, dict) else None
    if isinstance(scales, dict) and scales:
        scale = tasks.guess_model_scale(file)
        network["scale"] = scale if scale in scales else next(iter(scales))
    masks = check_network(network, str(file))
    network["yaml_file"] = file.name
    revision = hashlib.sha256(f"{network.get('scale', '')}\n".encode() + data).hexdigest()
    identity = {"student": file.name, "revision": f"sha256:{revision}"}
    return Start(file.stem, network, None, masks, identity)


def _from_checkpoint(file: Path) -> Start:
    model, _ = load_model(file)
    network = copy.deepcopy(model.yaml)
    masks = check_network(network, str(file))
    identity = {"student": file.name, "revision": f"sha256:{sha256_of(file)}"}
    return Start(file.stem, network, model, masks, identity)


def load_model(file: Path) -> tuple[Any, dict[str, Any]]:
    """Return the network in a checkpoint, in single precision, and the checkpoint.

    Raises:
        AutolabelError: it holds none for boxes or masks, something else, or weights that are not
            finite numbers.
    """
    checkpoint = load_network(file)
    model: Any = checkpoint.get("ema") or checkpoint.get("model")
    if type(model) not in _NETWORKS:
        raise AutolabelError(
            f"{file} holds no YOLO network for boxes or masks",
            hint="name a detection or segmentation checkpoint of ultralytics",
        )
    return model.float(), checkpoint


class YoloStudent:
    """A trained student; see `autolabel.train.base.Student`.

    Args:
        weights: its ``.pt`` file.
        name: how it is called.
        device: where it runs; `auto`, `cpu`, `cuda` and so on.
        threshold: its operating threshold.
    """

    def __init__(self, weights: Path, name: str, device: str, threshold: float) -> None:
        model, checkpoint = load_model(weights)
        self.device = devices.resolve(device)
        self.threshold = threshold
        self.masks = _NETWORKS[type(model)]
        self.names = tuple(str(model.names[i]) for i in range(len(model.names)))
        self.identity = {"name": name, "revision": f"sha256:{sha256_of(weights)}"}
        self.imgsz = int((checkpoint.get("train_args") or {}).get("imgsz") or 640)
        self.stride = max(int(model.stride.max()), 32)
        # As ultralytics predicts by default: the head that sees many candidates, then NMS.
        model.end2end = False
        self.model = model.fuse(verbose=False).eval().to(self.device)

    def predict(
        self,
        images: Sequence[Pixels],
        *,
        min_score: float,
        max_objects: int,
    ) -> list[Objects]:
        """Find objects in each image; see `autolabel.train.base.Student`."""
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, image in enumerate(images):
            alike[image.shape].append(i)
        found: dict[int, Objects] = {}
        for members in alike.values():
            for start in range(0, len(members), _AT_ONCE):
                chunk = members[start : start + _AT_ONCE]
                batch = self._predict([images[i] for i in chunk], min_score, max_objects)
                found |= dict(zip(chunk, batch, strict=True))
        return [found[i] for i in range(len(images))]

    @torch.inference_mode()
    def _predict(
        self, images: Sequence[Pixels], min_score: float, max_objects: int
    ) -> list[Objects]:
        """Do the same for images of one size."""
        fit = LetterBox((self.imgsz, self.imgsz), auto=True, stride=self.stride)
        stacked = np.stack([fit(image=np.ascontiguousarray(image)) for image in images])
        pixels = torch.from_numpy(stacked).to(self.device).permute(0, 3, 1, 2).float() / 255
        out = self.model(pixels)
        protos = None
        if self.masks:
            out, protos = out[0] if isinstance(out[0], tuple) else out
        rows = nms.non_max_suppression(
            out,
            min_score,
            _NMS_IOU,
            max_det=max_objects,
            nc=len(self.names) if self.masks else 0,
            max_time_img=_FOREVER,
        )
        shape = images[0].shape[:2]
        return [
            self._objects(row, pixels.shape[2:], shape, None if protos is None else protos[i])
            for i, row in enumerate(rows)
        ]

    def _objects(
        self, row: torch.Tensor, seen: Sequence[int], shape: tuple[int, ...], proto: Any
    ) -> Objects:
        """Turn one image's rows of x1 y1 x2 y2 score class and mask coefficients into objects."""
        boxes = ops.scale_boxes(seen, row[:, :4].clone(), shape)
        masks: list[bytes | None] | None = None
        if proto is not None and len(row):
            drawn = ops.process_mask_native(proto, row[:, 6:], boxes, shape) > 0
            full = drawn.flatten(1).any(1)
            row, boxes = row[full], boxes[full]
            masks = [*encode(drawn[full].cpu().numpy().astype(bool))] if len(row) else []
        labels = [self.names[int(i)] for i in row[:, 5].tolist()]
        scores = row[:, 4].cpu().numpy()
        evidence = [{"student": float(score)} for score in scores]
        return Objects.create(labels, scores, boxes.cpu().numpy(), mask=masks, scores=evidence)
