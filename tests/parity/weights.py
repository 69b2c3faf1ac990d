"""Random weights and a vocabulary, the same on every machine; numpy alone is needed."""

from __future__ import annotations

import re
import zlib

import numpy as np
import numpy.typing as npt

WORDS = [
    *("red", "white", "blood", "cell", "platelet", "cat", "dog", "black", "smudge", "a", "the"),
    *("person", "sitting", "on", "chair", "of", "bicycle", "helmet", "traffic", "light", "lying"),
]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
SPECIAL = {
    0: "[PAD]",
    100: "[UNK]",
    101: "[CLS]",
    102: "[SEP]",
    103: "[MASK]",
    1012: ".",
    1029: "?",
}


def vocabulary(size: int) -> list[str]:
    """A BERT vocabulary of `size` entries: special ones in BERT's places, letters, a few words."""
    words = [f"[unused{i}]" for i in range(size)]
    pieces = [*WORDS, *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)]
    for i, token in {**SPECIAL, **{200 + i: token for i, token in enumerate(pieces)}}.items():
        words[i] = token
    return words


def first_name(name: str) -> str:
    """The box heads of the decoder's layers are one module with many names."""
    head, found, rest = name.removeprefix("transformer.decoder.").partition("bbox_embed.")
    return f"bbox_embed.0.{rest.partition('.')[2]}" if found and not head else name


def random_weight(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """A weight that depends on its original name, its shape and the seed, and on nothing else.

    No weight is zero or one throughout, as many are at the start of a training: each must matter.
    The scales keep the model from falling into what makes a comparison empty: tokens that attention
    makes all alike, scores of 0 and 1 only, boxes beyond the image.
    """
    source = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)  # frozen by numpy
    noise = source.standard_normal(shape)
    gain = next(gain for pattern, gain in GAINS if re.search(pattern, name))
    if "norm" in name.lower() and name.endswith("weight"):
        found = gain * (1 + 0.1 * noise)
    elif len(shape) < 2:
        found = gain * 0.1 * noise
    else:
        found = gain * noise / np.sqrt(np.prod(shape[1:]))
    return np.asarray(found, np.float32)


GAINS: tuple[tuple[str, float], ...] = (
    (r"gamma_[vl]$", 3),
    (r"sampling_offsets\.bias$", 20),  # 2 pixels
    (r"bbox_embed\.(0\.)?layers\.2\.", 0.5),
    (r"enc_output\.bias$", 0.01),  # alone, it makes the score of places that are no proposals
    (r"transformer\.decoder\.norm\.", 0.2),  # logits of a few units
    (r"(out_proj|output\.dense|output_proj|linear2|fc2|attn\.proj)\.", 0.4),  # added to its input
    (r"\.(query|key)\.weight|(in_proj_|qkv\.)weight", 1.5),
    (r"", 1),
)
"""Pattern of an original name -> scale of its weight; the first that fits."""
