from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoProcessor, Florence2ForConditionalGeneration

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.florence2 import GROUNDING, TASKS, Florence2, pixels_of
from autolabel.ontology import Ontology
from autolabel.ops.boxes import order_corners
from tests.models.checkpoints import florence_tokenizer, save_florence2
from tests.models.test_detectors_contract import blobs

OPEN = TASKS[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_florence2(tmp_path_factory.mktemp("models") / "florence2")


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Florence2:
    return registry.load(registry.locate("detector", str(checkpoint)), "cpu")


@pytest.mark.parametrize("task", TASKS)
def test_it_equals_the_library_used_as_its_documentation_shows(
    checkpoint: Path, adapter: Florence2, task: str
) -> None:
    photos = [blobs(90, 40), blobs(333, 70, 1), blobs(60, 400, 2), blobs(80, 80, 3), blobs(9, 7, 4)]
    processor = AutoProcessor.from_pretrained(checkpoint)
    model = Florence2ForConditionalGeneration.from_pretrained(checkpoint).eval()
    inputs = processor(images=photos, text=[f"{task}red cell"] * len(photos), return_tensors="pt")
    with torch.no_grad():
        answers = model.generate(**inputs, do_sample=False)
    prompt = "red cell" if task == GROUNDING else f"{task} red cell"
    ours = adapter.detect(photos, Ontology.from_prompts([f"cell={prompt}"]), 0.0)
    assert sum(map(len, ours)) > 2
    for photo, answer, mine in zip(photos, answers, ours, strict=True):
        asked = [t for t in answer.tolist() if t not in adapter.marks - adapter.framing]
        theirs = processor.post_process_generation(
            sequence=_named(adapter, asked), task=task, image_size=photo.shape[1::-1]
        )[task]["bboxes"]
        np.testing.assert_array_equal(mine.xyxy, order_corners(theirs))
        assert set(mine.label) <= {"cell"}


def _named(adapter: Florence2, answer: list[int]) -> list[int]:
    """The answer from its first word on: without words before them the library's pattern takes a
    piece of the first location for a phrase."""
    words = [i for i, t in enumerate(answer) if t not in adapter.bins and t not in adapter.framing]
    return answer[words[0] :] if words else []


class Plain(Florence2):
    """The parsing alone, without a model."""

    def __init__(self) -> None:
        tokenizer = florence_tokenizer()
        vocabulary = tokenizer.get_vocab()
        self.tokenizer = tokenizer
        self.bins = {vocabulary[f"<loc_{n}>"]: n for n in range(1000)}
        self.framing = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
        self.marks = set(tokenizer.all_special_ids) - set(self.bins)
        self.polygon, self.separator = vocabulary["<poly>"], vocabulary["<sep>"]


PLAIN = Plain()
PHRASES = st.lists(
    st.tuples(
        st.text("abc xyz", min_size=1, max_size=6), st.lists(st.integers(0, 999), max_size=13)
    ),
    max_size=4,
)


@given(PHRASES, st.integers(1, 5000), st.integers(1, 5000))
def test_answers_are_read_as_the_processor_reads_them(
    phrases: list[tuple[str, list[int]]], width: int, height: int
) -> None:
    from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

    text = "".join(words + "".join(f"<loc_{n}>" for n in bins) for words, bins in phrases)
    ids = PLAIN.tokenizer(f"</s><s>{text}</s><pad>", add_special_tokens=False)["input_ids"]
    reference = Florence2PostProcessor({"phrase_grounding": {}}, PLAIN.tokenizer)(
        sequence=ids[1:], image_size=(width, height), parse_tasks=["phrase_grounding"]
    )["phrase_grounding"]
    expected = [box for phrase in reference for box in phrase["bbox"]]
    bins = np.array(list(PLAIN.boxes(ids)), np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(pixels_of(bins, (width, height)).tolist(), expected or [])


@pytest.mark.parametrize(
    ("answer", "boxes"),
    [
        ("cat<loc_1><loc_2><loc_3><loc_4>", [(1, 2, 3, 4)]),
        ("cat<loc_1><loc_2><loc_3><loc_4><loc_5>", [(1, 2, 3, 4)]),
        ("<loc_1><loc_2><loc_3><loc_4>", []),
        ("cat<loc_1><loc_2><loc_3>dog<loc_4><loc_5><loc_6><loc_7>", [(4, 5, 6, 7)]),
        ("cat", []),
        ("", []),
        ("cat<poly><loc_1><loc_9><loc_3><loc_4><loc_2><loc_7></poly>", [(1, 4, 3, 9)]),
        (
            "cat<poly><loc_1><loc_2><loc_3><loc_4><sep><loc_0><loc_9></poly>"
            "<poly><loc_5><loc_6><loc_7><loc_8></poly>",
            [(0, 2, 3, 9), (5, 6, 7, 8)],
        ),
    ],
)
def test_answers(answer: str, boxes: list[tuple[int, ...]]) -> None:
    ids = PLAIN.tokenizer(f"<s>{answer}</s>", add_special_tokens=False)["input_ids"]
    assert list(PLAIN.boxes(ids)) == boxes


def test_a_checkpoint_with_code_of_its_own_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "original"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoConfig": "configuration_florence2.Florence2Config"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(AutolabelError, match="code of its own, which is never loaded") as e:
        registry.load(registry.locate("detector", str(folder)), "cpu")
    assert "florence-community/" in e.value.hint


def test_scores_are_absent(adapter: Florence2) -> None:
    photos = [blobs(60, 40, seed) for seed in range(4)]
    found = adapter.detect(photos, Ontology.from_prompts(["red cell", "cat"]), 0.99)
    assert sum(map(len, found)) > 2
    for objects in found:
        assert (objects.score == 1).all()
        assert all(scores == {} for scores in objects.scores)


def test_what_cannot_be_asked_is_refused(adapter: Florence2) -> None:
    photo = blobs(9, 9)
    with pytest.raises(AutolabelError, match=r"<OD> is not a task that finds classes") as e:
        adapter.detect([photo], Ontology.from_prompts(["cat=<OD>"]), 0.0)
    assert OPEN in e.value.hint
    with pytest.raises(AutolabelError, match="tokens, over the model's 128"):
        adapter.detect([photo], Ontology.from_prompts(["cell " * 40]), 0.0)
    with pytest.raises(AutolabelError, match="gives no scores") as e:
        adapter.detect([photo], Ontology.from_prompts(["cat"], ["dog"]), 0.0)
    assert "--negative" in e.value.hint
