"""Florence-2 through transformers' own port (arXiv 2311.06242).

Florence-2 answers in text: phrases, each followed by location tokens. It is asked for one prompt at
a time, so that the class of a box is that of the prompt, whatever words the answer holds. An answer
has no scores: `score` is 1 throughout and `scores` has no `detector`, so `box_threshold` drops
nothing, and negatives, which would have nothing to compete with, are refused.

A prompt is asked as phrase grounding unless it begins with the other task, as its users write it:
`--prompt "cat=<OPEN_VOCABULARY_DETECTION>cat"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import AutoProcessor, Florence2ForConditionalGeneration

from autolabel.errors import AutolabelError
from autolabel.models.alike import Inputs, in_sizes
from autolabel.models.device import batch_size, resolve
from autolabel.models.loading import load_pretrained
from autolabel.models.prompts import Pair, label, merge, refuse_long
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.ops.boxes import order_corners
from autolabel.reading import read_json
from autolabel.registry import Located
from autolabel.types import Objects

GROUNDING = "<CAPTION_TO_PHRASE_GROUNDING>"
TASKS = (GROUNDING, "<OPEN_VOCABULARY_DETECTION>")

BINS = 1000
"""Location tokens: an image's width and height are cut into so many parts."""

LONGEST_ANSWER = 1024
"""Tokens, some 200 boxes; as in the documentation. A checkpoint may set fewer."""


class Florence2:
    """`Florence2ForConditionalGeneration`.

    Args:
        located: a folder with safetensors weights, processor and tokenizer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there, the weights do not load, or the tokenizer lacks
            location tokens.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        _refuse_own_code(located)
        self.processor, self.model = load_pretrained(
            located, AutoProcessor, Florence2ForConditionalGeneration, self.device
        )
        self.batch_size = batch_size(self.model, self.device)
        tokenizer = self.processor.tokenizer
        vocabulary = tokenizer.get_vocab()
        self.bins = {vocabulary.get(f"<loc_{n}>", -1 - n): n for n in range(BINS)}
        if min(self.bins) < 0:
            raise AutolabelError(
                f"the tokenizer of {located.name} lacks location tokens",
                hint="use one of florence-community's checkpoints",
            )
        self.framing = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        self.marks = set(tokenizer.all_special_ids) - set(self.bins)
        self.polygon, self.separator = (vocabulary.get(name, -2) for name in ("<poly>", "<sep>"))

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`; all boxes have score 1.

        Raises:
            AutolabelError: there are negatives, a task is unknown or a prompt is too long.
        """
        if ontology.negatives:
            raise AutolabelError(
                "florence2 gives no scores by which negatives could compete",
                hint="leave out --negative, or use a detector with scores",
            )
        asked = [(pair, self._ask(pair[1])) for pair in ontology.pairs()]

        def alike(members: list[int], inputs: Inputs) -> list[Objects]:
            found: list[list[Objects]] = [[] for _ in members]
            with torch.inference_mode():
                pixels = inputs["pixel_values"].to(self.device)
                seen = self.model.get_image_features(pixels).pooler_output
                for pair, ids in asked:
                    answers = self._answers(seen, ids.expand(len(members), -1))
                    for parts, answer, i in zip(found, answers, members, strict=True):
                        parts.append(self._objects(answer, pair, images[i].shape[1::-1]))
            return [merge(parts) for parts in found]

        return in_sizes(self.processor.image_processor, images, alike)

    def _ask(self, prompt: str) -> torch.Tensor:
        """Return the question's token ids (1, tokens), the image's place included."""
        processor, tokenizer = self.processor, self.processor.tokenizer
        task, words = _task(prompt)
        text = processor.task_prompts_with_input[task].format(input=words)
        image = processor.image_token * processor.num_image_tokens
        whole = image + tokenizer.bos_token + text + tokenizer.eos_token
        ids: list[int] = tokenizer(whole, add_special_tokens=False)["input_ids"]
        longest = int(self.model.config.text_config.max_position_embeddings)
        refuse_long([prompt], lambda _: len(ids), longest)
        return torch.tensor([ids], device=self.device)

    def _answers(self, seen: torch.Tensor, ids: torch.Tensor) -> list[list[int]]:
        embeds = self.model.get_input_embeddings()(ids)
        place = (ids == self.model.config.image_token_id)[..., None].expand_as(embeds)
        read = self.model.get_encoder()(
            inputs_embeds=embeds.masked_scatter(place, seen.to(embeds.dtype)),
            attention_mask=torch.ones_like(ids),
        )
        answers: list[list[int]] = self.model.generate(
            encoder_outputs=read,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=self.model.generation_config.max_new_tokens or LONGEST_ANSWER,
        ).tolist()
        return answers

    def _objects(self, answer: Sequence[int], pair: Pair, size_wh: tuple[int, ...]) -> Objects:
        bins = list(self.boxes(answer))
        boxes = order_corners(pixels_of(np.array(bins, np.float32).reshape(-1, 4), size_wh))
        n = len(bins)
        return Objects.create([label(pair)] * n, np.ones(n), boxes, prompt=[pair[1]] * n)

    def boxes(self, answer: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
        """Yield the boxes of an answer, x1, y1, x2, y2 in bins; of a polygon the box around it.

        Locations belong to the words before them: those before any word name nothing, and neither
        do fewer than four.
        """
        named, polygon, run = False, False, list[int]()
        for token in [*(t for t in answer if t not in self.framing), -1]:
            if token in self.bins:
                run.append(self.bins[token])
                continue
            if polygon and token == self.separator:
                run = run[: len(run) // 2 * 2]
                continue
            if named:
                yield from _around(run) if polygon else _fours(run)
            polygon, run = token == self.polygon, []
            named = named or token not in self.marks


def _refuse_own_code(located: Located) -> None:
    config = read_json(located.path / "config.json")
    if "auto_map" in config:
        raise AutolabelError(
            f"{located.name} runs only with code of its own, which is never loaded",
            hint="use transformers' port of it, such as florence-community/Florence-2-base",
        )


def _task(prompt: str) -> tuple[str, str]:
    """Return the task that a prompt names, else phrase grounding, and the prompt without it."""
    for task in TASKS:
        if prompt.startswith(task):
            return task, prompt.removeprefix(task).strip()
    if prompt.startswith("<") and ">" in prompt:
        raise AutolabelError(
            f"{prompt.split('>')[0]}> is not a task that finds classes",
            hint=f"begin a prompt with {TASKS[1]} or with no task",
        )
    return GROUNDING, prompt


def _fours(run: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    for i in range(0, len(run) - 3, 4):
        x1, y1, x2, y2 = run[i : i + 4]
        yield x1, y1, x2, y2


def _around(run: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    xs, ys = run[: len(run) // 2 * 2 : 2], run[1::2]
    if len(xs) > 1:
        yield min(xs), min(ys), max(xs), max(ys)


def pixels_of(bins: Vectors, size_wh: tuple[int, ...]) -> Vectors:
    """Return centres of bins in whole pixels of an image, as the processor computes them.

    Args:
        bins: x and y by turns, 0 to 999, (n, 4).
        size_wh: width and height of the image.

    >>> pixels_of(np.array([[0, 0, 499, 999]], np.float32), (640, 480)).tolist()
    [[0.0, 0.0, 319.0, 479.0]]
    """
    per_bin = np.array([side / BINS for side in size_wh] * 2, np.float32)
    whole: Vectors = np.trunc((bins + np.float32(0.5)) * per_bin)
    return whole
