"""Words, tokenizer and random captions that teach the small detector to follow its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, digits, punctuation

import numpy as np
from transformers import BertTokenizer

#: What names a class (indices into `bccd.CLASSES`); the first phrase of each is the usual one.
SYNONYMS: dict[tuple[int, ...], tuple[str, ...]] = {
    (0,): (
        "red blood cell",
        "red blood cells",
        "erythrocyte",
        "erythrocytes",
        "rbc",
        "rbcs",
        "red cell",
        "red cells",
    ),
    (1,): (
        "white blood cell",
        "white blood cells",
        "leukocyte",
        "leukocytes",
        "leucocyte",
        "leucocytes",
        "wbc",
        "wbcs",
        "white cell",
        "white cells",
    ),
    (2,): ("platelet", "platelets", "thrombocyte", "thrombocytes", "plt", "blood platelet"),
    (0, 1): ("blood cell", "blood cells", "cell", "cells"),
}
#: Ids that `GroundingDinoModel` has written into its code.
FIXED_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
FIXED_IDS |= {".": 1012, "?": 1029}
SUFFIXES = ["s", "es", "ed", "er", "ing", "ly", "al", "ic", "ion", "ist", "ium", "ine", "ite"]
SUFFIXES += ["yte", "cyte", "let", "oid", "osis", "able", "ness"]


@dataclass(frozen=True)
class Caption:
    """Token ids of one caption, from [CLS] to [SEP].

    `spans` holds, for each phrase, its token positions as (start, end) and the classes it names;
    a phrase that names nothing (a distractor) has no classes.
    """

    ids: list[int]
    spans: list[tuple[int, int, tuple[int, ...]]]


def read_words() -> list[str]:
    """The words of `words.txt`, each once, in order."""
    lines = (Path(__file__).parent / "words.txt").read_text().splitlines()
    words = [w for line in lines if not line.startswith("#") for w in line.split()]
    return list(dict.fromkeys(words))


def build_tokenizer() -> BertTokenizer:
    """A lower-casing word-piece tokenizer: whole common words, every other word in characters."""
    ours = [w for phrases in SYNONYMS.values() for phrase in phrases for w in phrase.split()]
    letters = ascii_lowercase + digits
    pieces = [*punctuation, *letters, *(f"##{c}" for c in letters), *(f"##{s}" for s in SUFFIXES)]
    pieces = [p for p in dict.fromkeys([*pieces, *ours, *read_words()]) if p not in FIXED_IDS]
    taken = set(FIXED_IDS.values())
    free = (i for i in range(1, len(pieces) + len(taken) + 2000) if i not in taken)
    vocab = FIXED_IDS | dict(zip(pieces, free, strict=False))
    for i in range(max(vocab.values())):
        if i not in taken and i > len(pieces):
            vocab.setdefault(f"[unused{i}]", i)
    used = {i: piece for piece, i in vocab.items()}
    ordered = {used[i]: i for i in sorted(used)}
    return BertTokenizer(vocab=ordered, do_lower_case=True, model_max_length=256)


class CaptionSampler:
    """Draws captions: subsets of the classes under many names, in any order, among distractors."""

    def __init__(self, tokenizer: BertTokenizer):
        self.tokenizer = tokenizer
        self.words = [w for w in read_words() if len(w) > 2 and w not in ("red", "white")]
        self.stop = tokenizer.convert_tokens_to_ids(".")
        self._ids: dict[str, list[int]] = {}

    def encode(self, phrases: list[tuple[str, tuple[int, ...]]]) -> Caption:
        """The caption "phrase. phrase. …" of (phrase, classes that it names)."""
        ids, spans = [self.tokenizer.cls_token_id], []
        for phrase, classes in phrases:
            if phrase not in self._ids:
                self._ids[phrase] = self.tokenizer.encode(phrase, add_special_tokens=False)
            start = len(ids)
            ids += self._ids[phrase]
            spans.append((start, len(ids), classes))
            ids.append(self.stop)
        return Caption([*ids, self.tokenizer.sep_token_id], spans)

    def draw(self, rng: np.random.Generator) -> Caption:
        """A random caption: all classes, some or none, and nought to eight distractors."""
        kind = rng.random()
        named = range(3) if kind < 0.5 else rng.permutation(3)[: rng.integers(1, 3)]
        named = [] if kind > 0.87 else [int(c) for c in named]
        phrases = [p for c in named for p in self._names((c,), rng)]
        if rng.random() < 0.06:
            phrases += self._names((0, 1), rng)
        count = int(rng.choice([0, 1, 2, 3, 4, 8], p=[0.35, 0.2, 0.17, 0.13, 0.1, 0.05]))
        phrases += [(self._distractor(rng), ()) for _ in range(max(count, not phrases))]
        order = rng.permutation(len(phrases))
        return self.encode([phrases[i] for i in order])

    def _names(
        self, classes: tuple[int, ...], rng: np.random.Generator
    ) -> list[tuple[str, tuple[int, ...]]]:
        """One name for the classes, now and then two; the usual name half of the time."""
        names = SYNONYMS[classes]
        chosen = {names[0] if rng.random() < 0.5 else str(rng.choice(names))}
        if rng.random() < 0.12:
            chosen.add(str(rng.choice(names)))
        article = "a " if rng.random() < 0.04 else ""
        return [(article + name, classes) for name in sorted(chosen)]

    def _distractor(self, rng: np.random.Generator) -> str:
        """A phrase that names nothing in a blood smear, or nothing at all."""
        kind = rng.random()
        word = str(rng.choice(self.words))
        if kind < 0.5:
            return word + ("s" if rng.random() < 0.15 else "")
        if kind < 0.6:
            return f"{rng.choice(self.words)} {word}"
        if kind < 0.7:
            return f"{rng.choice(['red', 'white', 'blood'])} {word}"
        letters = "".join(rng.choice(list(ascii_lowercase), size=rng.integers(2, 10)))
        if kind < 0.78:
            stem = str(rng.choice(["cell", "red", "white", "blood", "platelet", word]))
            return stem + letters[:5]
        return letters
