"""Grounding DINO and MM-Grounding-DINO through transformers (arXiv 2303.05499, 2401.02361).

The class of a box comes from the scores of the text tokens. A class's score for a query is the
highest token score inside the spans of its prompts, and the box belongs to its best class; no
phrase is ever decoded, so classes may share words and none is lost or blended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE
from autolabel.models.device import resolve
from autolabel.models.loading import load
from autolabel.ontology import Ontology
from autolabel.registry import Located
from autolabel.types import Objects

SEPARATORS = frozenset({101, 102, 1012, 1029})
"""Token ids of [CLS], [SEP], `.` and `?`, between which the model takes text for one phrase."""

SMALLEST_SIDE = 32
"""Pixels; the backbones halve an image five times, and thin ones would come to nothing."""

Pair = tuple[str | None, str]


@dataclass(frozen=True)
class Pass:
    """One caption and where its prompts stand in it.

    Attributes:
        pairs: (class or None, prompt) of each phrase.
        input_ids: token ids, int64 (tokens,).
        spans: boolean (phrases, tokens): which tokens are whose.
    """

    pairs: tuple[Pair, ...]
    input_ids: torch.Tensor
    spans: torch.Tensor


class GroundingDino:
    """`GroundingDinoForObjectDetection` or `MMGroundingDinoForObjectDetection`.

    Args:
        located: a folder with safetensors weights, processor and tokenizer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there or the weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        self.processor, self.model = load(
            located, AutoProcessor, AutoModelForZeroShotObjectDetection, self.device
        )
        self._passes: tuple[str, list[Pass]] = ("", [])

    def detect(
        self, images: Sequence[npt.NDArray[np.uint8]], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`."""
        inputs = self.processor.image_processor(
            images=list(images), input_data_format="channels_last", return_tensors="pt"
        )
        inputs = {name: _padded(tensor).to(self.device) for name, tensor in inputs.items()}
        sizes = np.array([image.shape[1::-1] for image in images], np.float32)
        found: list[list[Objects]] = [[] for _ in images]
        for one in self.passes(ontology):
            for boxes, objects in zip(
                found, self._forward(inputs, sizes, one, min_score), strict=True
            ):
                boxes.append(objects)
        return [merge(parts) for parts in found]

    def _forward(
        self,
        inputs: dict[str, torch.Tensor],
        sizes_wh: npt.NDArray[np.float32],
        one: Pass,
        min_score: float,
    ) -> list[Objects]:
        count = len(sizes_wh)
        ids = one.input_ids.to(self.device).expand(count, -1)
        with torch.inference_mode():
            output = self.model(
                **inputs,
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                token_type_ids=torch.zeros_like(ids),
            )
        tokens = output.logits[:, :, : one.spans.shape[1]].sigmoid()
        phrases = phrase_scores(tokens, one.spans.to(self.device))
        score, best = phrases.max(dim=-1)
        boxes = to_xyxy(output.pred_boxes.float().cpu().numpy(), sizes_wh)
        return [
            _objects(one, boxes[i], score[i].cpu().numpy(), best[i].cpu().numpy(), min_score)
            for i in range(count)
        ]

    def passes(self, ontology: Ontology) -> list[Pass]:
        """The captions that ask for every prompt, each within the model's text length.

        Negative prompts stand in every caption, so that they compete everywhere.
        """
        key = ontology.fingerprint()
        if self._passes[0] != key:
            self._passes = (key, [self._pass(pairs) for pairs in self._split(ontology)])
        return self._passes[1]

    def _split(self, ontology: Ontology) -> list[tuple[Pair, ...]]:
        pairs = [(name, phrase(prompt)) for name, prompt in ontology.pairs()]
        length = {p: len(self._tokens(p)) + 1 for _, p in pairs}
        positive = [pair for pair in pairs if pair[0] is not None]
        negative = [pair for pair in pairs if pair[0] is None]
        room = int(self.model.config.max_text_len) - 2 - sum(length[p] for _, p in negative)
        chunks: list[list[Pair]] = []
        left = 0
        for pair in positive:
            need = length[pair[1]]
            if need > room:
                raise AutolabelError(
                    f"prompt {pair[1][:40]!r} and the negatives are over the model's "
                    f"{self.model.config.max_text_len} tokens",
                    hint="shorten the prompt, or use fewer negatives",
                )
            if need > left:
                chunks.append([])
                left = room
            chunks[-1].append(pair)
            left -= need
        return [(*chunk, *negative) for chunk in chunks]

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _pass(self, pairs: tuple[Pair, ...]) -> Pass:
        caption = ". ".join(prompt for _, prompt in pairs) + "."
        ids: list[int] = self.processor.tokenizer(caption)["input_ids"]
        spans = torch.zeros(len(pairs), len(ids), dtype=torch.bool)
        row, inside = -1, False
        for i, token in enumerate(ids):
            if token in SEPARATORS:
                inside = False
                continue
            if not inside:
                row, inside = row + 1, True
            if row < len(pairs):
                spans[row, i] = True
        if row != len(pairs) - 1:
            raise AutolabelError(
                f"the model's tokenizer finds {row + 1} phrases in {len(pairs)} prompts",
                hint="use prompts of plain words",
            )
        if len(pairs) == 1:
            # Alone in its caption, a prompt owns every token, the separators included: this is
            # what the reference post-processing does, and where there is nothing to tell apart
            # the two agree.
            spans[:] = True
        return Pass(pairs, torch.tensor(ids), spans)


def _padded(tensor: torch.Tensor) -> torch.Tensor:
    """Pixels or their mask, padded with zeros at the right and below to `SMALLEST_SIDE`."""
    height, width = tensor.shape[-2:]
    right, below = max(SMALLEST_SIDE - width, 0), max(SMALLEST_SIDE - height, 0)
    return torch.nn.functional.pad(tensor, (0, right, 0, below))


def phrase(prompt: str) -> str:
    """A prompt as one phrase of a caption: lower case, without the marks that end a phrase.

    >>> phrase("Dr. Who?  Figure")
    'dr who figure'
    """
    return " ".join(prompt.lower().replace(".", " ").replace("?", " ").split())


def phrase_scores(tokens: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Score of each phrase for each query: the highest score among its tokens.

    Args:
        tokens: scores in [0, 1], (images, queries, tokens).
        spans: boolean (phrases, tokens).

    Returns:
        (images, queries, phrases).
    """
    return torch.stack([tokens[:, :, span].amax(dim=-1) for span in spans], dim=-1)


def to_xyxy(
    boxes: npt.NDArray[np.float32], sizes_wh: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Relative centre boxes (images, queries, 4) to absolute corners, in pixels of each image."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    corners = np.concatenate([centre - 0.5 * size, centre + 0.5 * size], axis=-1)
    scaled: npt.NDArray[np.float32] = corners * np.tile(sizes_wh, 2)[:, None, :]
    return scaled


def _objects(
    one: Pass,
    boxes: npt.NDArray[np.float32],
    score: npt.NDArray[np.float32],
    best: npt.NDArray[np.int64],
    min_score: float,
) -> Objects:
    chosen = np.flatnonzero(score >= min_score)
    pairs = [one.pairs[best[i]] for i in chosen]
    return Objects.create(
        [NEGATIVE if name is None else name for name, _ in pairs],
        score[chosen],
        boxes[chosen],
        prompt=[prompt for _, prompt in pairs],
        scores=[{"detector": float(score[i])} for i in chosen],
    )


def merge(parts: Sequence[Objects]) -> Objects:
    """The objects of several passes over one image as one."""
    if len(parts) == 1:
        return parts[0]
    names = Objects.__dataclass_fields__
    return Objects(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
