from __future__ import annotations

import json

import numpy as np

from autolabel.ontology import Ontology
from autolabel.stages.filter.texts import PromptTexts, TextVectors, embed_texts
from tests.stages.filter.made import CLIP_LIKE, unit


def test_the_ensemble_is_the_mean_of_unit_vectors() -> None:
    class Letters:
        dimensions, scoring = 3, CLIP_LIKE

        def embed_images(self, crops: list) -> np.ndarray:
            raise AssertionError

        def embed_texts(self, texts: list[str]) -> np.ndarray:
            return unit([[t.count("a") + 1, t.count("b"), len(t)] for t in texts])

    ontology = Ontology.from_prompts(["cat=cat, tabby", "dog"], ["toy"])
    prompts = PromptTexts.of(ontology, ["a {}", "big {}"], ["nothing"])
    assert prompts.texts[0] == ("a cat", "big cat", "a tabby", "big tabby")
    assert prompts.names == ("cat", "dog", "toy", "background")
    found = embed_texts(Letters(), prompts)
    mean = Letters().embed_texts(list(prompts.texts[0])).mean(axis=0)
    np.testing.assert_allclose(found.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    back = TextVectors.from_json(json.loads(found.to_json()))
    np.testing.assert_allclose(back.vectors, found.vectors, atol=1e-7)
    assert (back.names, back.classes, back.scoring) == (found.names, 2, CLIP_LIKE)
    other = PromptTexts.of(ontology, ["a {}"], ["nothing"])
    assert other.fingerprint() != prompts.fingerprint()
