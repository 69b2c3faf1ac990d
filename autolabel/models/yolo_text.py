"""YOLO-World and YOLOE through ultralytics, from their `.pt` files (arXiv 2401.17270, 2503.07465).

YOLO-World's text encoder is OpenAI's CLIP ViT-B/32, which ultralytics fetches by itself; here the
same weights come from transformers. YOLOE's is MobileCLIP, published for it as TorchScript alone,
which is a program and is not loaded; so of YOLOE, the prompts are those that the file itself holds:
the vocabulary of a prompt-free model, or the classes with which a model was saved.

Ultralytics and its weights are under AGPL-3.0. Boxes alone are taken, from segmenting models too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.alike import by_key
from autolabel.models.checked_pickle import load_network
from autolabel.models.device import batch_size, resolve
from autolabel.models.prompts import Pair, best_of
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels
from autolabel.ops.boxes import order_corners
from autolabel.types import Objects

TEXT_ENCODER = "clip-vit-base-patch32"
"""Registered name of YOLO-World's text encoder; a folder of that name beside the file is used
before it."""

OPEN, CLOSED = frozenset({"WorldModel"}), frozenset({"YOLOEModel", "YOLOESegModel"})
"""Networks that read any prompt, and those that know the prompts they were saved with."""

Columns = tuple[list[Pair], list[int]]
"""The prompts, and where in the network's answer the scores of each stand."""


class YoloText:
    """`WorldModel`, `YOLOEModel` or `YOLOESegModel` of ultralytics.

    Args:
        located: the `.pt` file.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: ultralytics or the device is not there, or the file holds another network.
    """

    def __init__(self, located: registry.Located, device: str) -> None:
        load_ultralytics()
        from ultralytics.data.augment import LetterBox

        self.located = located
        self.device = resolve(device)
        checkpoint = load_network(located.path)
        network: Any = checkpoint.get("ema") or checkpoint.get("model")
        self.kind = type(network).__name__
        if self.kind not in OPEN | CLOSED:
            raise AutolabelError(
                f"{located.name} holds a {self.kind}, which finds nothing by text",
                hint="use a YOLO-World or YOLOE file, or a model from `autolabel models`",
            )
        head = network.model[-1]
        if head.cv2 is not None:
            head.end2end = False  # the head with many candidates; overlaps are left to the stage
        elif head.end2end:
            raise AutolabelError(
                f"{located.name} is fused to its one-to-one head, which tells one class a box",
                hint="use the file as published, before fuse or export",
            )
        self.network = network.float().eval().fuse(verbose=False).to(self.device)
        self.batch_size = batch_size(self.network, self.device)
        side = int((checkpoint.get("train_args") or {}).get("imgsz") or 640)
        stride = max(int(network.stride.max()), 32)
        self.fit = LetterBox((side, side), auto=True, stride=stride)
        self._asked: tuple[str, Columns] = ("", ([], []))

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`.

        Raises:
            AutolabelError: the text encoder is not found, or a closed network lacks a prompt.
        """
        columns = self._columns(ontology)
        fitted = [self.fit(image=np.ascontiguousarray(image)) for image in images]

        def alike(members: list[int]) -> list[Objects]:
            shapes = [images[i].shape[:2] for i in members]
            stacked = np.stack([fitted[i] for i in members])
            return self._forward(stacked, shapes, columns, min_score)

        return by_key([image.shape for image in fitted], alike)

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """See `autolabel.models.base.Batching.input_size`; as `LetterBox` fits an image."""
        side, stride = self.fit.new_shape[0], self.fit.stride
        scale = side / max(height, width, 1)
        inner = round(height * scale), round(width * scale)
        return inner[0] + (side - inner[0]) % stride, inner[1] + (side - inner[1]) % stride

    def _forward(
        self,
        stacked: Pixels,
        shapes_hw: Sequence[tuple[int, ...]],
        columns: Columns,
        min_score: float,
    ) -> list[Objects]:
        from ultralytics.utils import ops

        pixels = torch.from_numpy(stacked).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            answer = self.network(pixels)
        while isinstance(answer, tuple | list):  # masks and training's figures come after it
            answer = answer[0]
        answer = answer.float().cpu().transpose(1, 2)
        pairs, wanted = columns
        scores = answer[:, :, 4:][:, :, wanted].numpy()
        boxes = ops.xywh2xyxy(answer[:, :, :4])
        return [
            best_of(
                pairs,
                # Distances to the sides are learned, and may turn a small box inside out.
                order_corners(ops.scale_boxes(pixels.shape[2:], boxes[i], shape).numpy()),
                scores[i],
                min_score,
            )
            for i, shape in enumerate(shapes_hw)
        ]

    def _columns(self, ontology: Ontology) -> Columns:
        key = ontology.fingerprint()
        if self._asked[0] != key:
            pairs = ontology.pairs()
            if self.kind in OPEN:
                self._teach([prompt for _, prompt in pairs])
                self._asked = (key, (pairs, list(range(len(pairs)))))
            else:
                self._asked = (key, (pairs, self._known([prompt for _, prompt in pairs])))
        return self._asked[1]

    def _teach(self, prompts: Sequence[str]) -> None:
        """Give YOLO-World the prompts' embeddings, as its `set_classes` does."""
        beside = self.located.path.parent / TEXT_ENCODER
        name = str(beside) if beside.is_dir() else TEXT_ENCODER
        encoder = registry.load(registry.locate("image-text", name), str(self.device))
        texts = torch.from_numpy(encoder.embed_texts(prompts))
        if texts.shape[1] != self.network.txt_feats.shape[-1]:
            raise AutolabelError(
                f"{name} gives {texts.shape[1]} numbers for a text, and {self.located.name} "
                f"reads {self.network.txt_feats.shape[-1]}",
                hint=f"remove {beside}: YOLO-World reads CLIP ViT-B/32",
            )
        self.network.txt_feats = texts[None].to(self.device)
        self.network.model[-1].nc = len(prompts)

    def _known(self, prompts: Sequence[str]) -> list[int]:
        """Return where YOLOE's own vocabulary has each prompt."""
        place = {str(name).casefold(): i for i, name in self.network.names.items()}
        missing = [prompt for prompt in prompts if prompt.casefold() not in place]
        if missing or not self._taught():
            raise AutolabelError(
                f"{self.located.name} has no embedding of {(missing or prompts)[0]!r}, and YOLOE's "
                "text encoder comes as a program alone, which is not run",
                hint="use a prompt-free YOLOE file (-pf) and words of its vocabulary, or save one "
                "with your classes: ultralytics' set_classes, then save",
            )
        return [place[prompt.casefold()] for prompt in prompts]

    def _taught(self) -> bool:
        head = self.network.model[-1]
        own = getattr(self.network, "pe", None)
        if own is not None and len(own.shape) == 3 and own.shape[1] == len(self.network.names):
            self.network.pe = own.to(self.device)
            return True
        return hasattr(head, "lrpc")
