"""Grounding DINO and MM-Grounding-DINO through transformers (arXiv 2303.05499, 2401.02361).

The class of a box comes from the scores of the text tokens. A class's score for a query is the
highest token score inside the spans of its prompts, and the box belongs to its best class; no
phrase is ever decoded, so classes may share words and none is lost or blended.

For a caption of one prompt, boxes and scores equal those of the processor's
`post_process_grounded_object_detection`. For several prompts they differ on purpose. The processor
scores a box by its highest token, the full stops between prompts included, and names it by joining
every token over a threshold: "cat. dog." gives `cat dog` where both pass, "red blood cell. white
blood cell." gives `blood cell` where the colour does not, and where none passes the name is empty.
None of these is a class; here the same boxes are `cat`, `white blood cell` and whatever scores
highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from autolabel.errors import AutolabelError
from autolabel.models.alike import Inputs, in_sizes, input_size
from autolabel.models.device import batch_size, resolve
from autolabel.models.loading import load_pretrained
from autolabel.models.prompts import Pair, best_of, merge, sizes_wh, split, to_xyxy
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located
from autolabel.types import Objects

SEPARATORS = frozenset({101, 102, 1012, 1029})
"""Token ids of [CLS], [SEP], `.` and `?`, between which the model takes text for one phrase."""

SMALLEST_SIDE = 32
"""Pixels; the backbones halve an image five times, and thin ones would come to nothing."""


@dataclass(frozen=True)
class Pass:
    """One caption and where its prompts stand in it.

    Attributes:
        pairs: (class or None, prompt as it was given) of each phrase.
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
        self.processor, self.model = load_pretrained(
            located, AutoProcessor, AutoModelForZeroShotObjectDetection, self.device
        )
        self.batch_size = batch_size(self.model, self.device)
        self._passes: tuple[str, list[Pass]] = ("", [])

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`."""
        sizes, passes = sizes_wh(images), self.passes(ontology)

        def alike(members: list[int], inputs: Inputs) -> list[Objects]:
            there = {name: _padded(tensor).to(self.device) for name, tensor in inputs.items()}
            found = [self._forward(there, sizes[members], one, min_score) for one in passes]
            return [merge(parts) for parts in zip(*found, strict=True)]

        return in_sizes(self.processor.image_processor, images, alike)

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """See `autolabel.models.base.Batching.input_size`."""
        return input_size(self.processor.image_processor, width, height)

    def _forward(
        self,
        inputs: Inputs,
        sizes: Vectors,
        one: Pass,
        min_score: float,
    ) -> list[Objects]:
        count = len(sizes)
        ids = one.input_ids.to(self.device).expand(count, -1)
        with torch.inference_mode():
            output = self.model(
                **inputs,
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                token_type_ids=torch.zeros_like(ids),
            )
        tokens = output.logits[:, :, : one.spans.shape[1]].float().sigmoid()
        scores = phrase_scores(tokens, one.spans.to(self.device)).cpu().numpy()
        boxes = to_xyxy(output.pred_boxes.float().cpu().numpy(), sizes)
        return [best_of(one.pairs, boxes[i], scores[i], min_score) for i in range(count)]

    def passes(self, ontology: Ontology) -> list[Pass]:
        """Return the captions that ask for every prompt, each within the model's text length.

        Negative prompts stand in every caption, so that they compete everywhere.
        """
        key = ontology.fingerprint()
        if self._passes[0] != key:
            longest = int(self.model.config.max_text_len)
            groups = split(ontology, self._length, longest - 2, longest)
            self._passes = (key, [self._pass(pairs) for pairs in groups])
        return self._passes[1]

    def _length(self, prompt: str) -> int:
        ids = self.processor.tokenizer(phrase(prompt), add_special_tokens=False)["input_ids"]
        return len(ids) + 1

    def _pass(self, pairs: tuple[Pair, ...]) -> Pass:
        caption = ". ".join(phrase(prompt) for _, prompt in pairs) + "."
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
    """Return pixels or their mask, padded with zeros at the right and below to `SMALLEST_SIDE`."""
    height, width = tensor.shape[-2:]
    right, below = max(SMALLEST_SIDE - width, 0), max(SMALLEST_SIDE - height, 0)
    return torch.nn.functional.pad(tensor, (0, right, 0, below))


def phrase(prompt: str) -> str:
    """Return a prompt as one phrase of a caption: lower case, without the marks that end a phrase.

    >>> phrase("Dr. Who?  Figure")
    'dr who figure'
    """
    return " ".join(prompt.lower().replace(".", " ").replace("?", " ").split())


def phrase_scores(tokens: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Return the score of each phrase for each query: the highest among its tokens.

    Args:
        tokens: scores in [0, 1], (images, queries, tokens).
        spans: boolean (phrases, tokens).

    Returns:
        (images, queries, phrases).
    """
    return torch.stack([tokens[:, :, span].amax(dim=-1) for span in spans], dim=-1)
