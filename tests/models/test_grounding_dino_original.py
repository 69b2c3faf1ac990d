"""Original files, made from names and shapes that the original package gave (`tests/parity/`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models import grounding_dino_original
from autolabel.models.grounding_dino import GroundingDino
from autolabel.models.grounding_dino_keys import architecture, rename
from autolabel.ontology import Ontology
from tests.conftest import Run
from tests.parity.weights import first_name, random_weight, vocabulary

GOLDEN = Path(__file__).parent / "data" / "grounding_dino_original.npz"
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

State = dict[str, torch.Tensor]


@dataclass
class Golden:
    """What the original package gave: facts, arrays, and the state made again from its names."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    state: State

    def pixels(self, i: int) -> torch.Tensor:
        """One image as the original was given it, (1, 3, height, width)."""
        normal = (self.arrays[f"rgb-{i}"] / 255 - MEAN) / DEVIATION
        return torch.from_numpy(normal).float().permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def golden() -> Golden:
    with np.load(GOLDEN) as file:
        arrays = dict(file)
    facts = json.loads(str(arrays.pop("facts")))
    state = {
        name: torch.from_numpy(random_weight(first_name(name), tuple(shape), facts["seed"]))
        for name, shape in facts["shapes"].items()
        if not name.endswith("relative_position_index")
    }
    return Golden(facts, arrays, state)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where converted folders go, and a hub cache with nothing in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(
        "huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", tmp_path / "hub"
    )
    return tmp_path / "cache" / "autolabel" / "models"


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path, golden: Golden) -> Save:
    """Write a state as the authors' files are, with the vocabulary beside it or elsewhere."""

    def write(state: State, words: Path | None = Path("vocab.txt")) -> Path:
        folder = tmp_path / "weights"
        if words is not None:
            place = folder / words
            place.parent.mkdir(parents=True, exist_ok=True)
            tokens = vocabulary(golden.facts["vocabulary"])
            place.write_text("\n".join(tokens) + "\n", "utf-8")
        folder.mkdir(exist_ok=True)
        published = {
            "module.label_enc.weight": torch.zeros(20, 256),
            "module.bert.embeddings.position_ids": torch.arange(32)[None],
            "module.bert.pooler.dense.bias": torch.zeros(64),
        }
        path = folder / "groundingdino_swint_ogc.pth"
        prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"model": published | prefixed}, path)
        return path

    return write


def load(path: Path) -> GroundingDino:
    return registry.load(registry.locate("detector", str(path)), "cpu")


def check_equal_to_the_original(adapter: GroundingDino, golden: Golden) -> None:
    for i in range(2):
        for j, caption in enumerate(golden.facts["captions"]):
            text = adapter.processor.tokenizer(caption, return_tensors="pt")
            with torch.no_grad():
                out = adapter.model(pixel_values=golden.pixels(i), **text)
            theirs = golden.arrays[f"logits-{i}-{j}"]
            assert theirs.std() > 0.3, "the case shows nothing"
            tokens = theirs.shape[1]
            np.testing.assert_allclose(out.logits[0, :, :tokens], theirs, atol=1e-4)
            assert torch.isinf(out.logits[0, :, tokens:]).all()
            np.testing.assert_allclose(
                out.pred_boxes[0], golden.arrays[f"boxes-{i}-{j}"], atol=1e-5
            )


def test_logits_and_boxes_equal_those_of_the_original_package(
    save: Save, golden: Golden, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(golden.state)
    check_equal_to_the_original(load(path), golden)
    (folder,) = [p for p in cache.iterdir() if p.is_dir()]
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors"}
    monkeypatch.setattr(torch, "load", None)  # converted once is enough
    adapter = load(path)
    check_equal_to_the_original(adapter, golden)
    photo = np.zeros((40, 60, 3), np.uint8)
    (found,) = adapter.detect([photo], Ontology.from_prompts(["cat", "black dog"]), 0.0)
    assert len(found) == 20
    assert set(found.label) <= {"cat", "black dog"}


def test_box_heads_of_their_own_stay_apart(save: Save, golden: Golden) -> None:
    own = {n: t + 1 for n, t in golden.state.items() if n.startswith("bbox_embed.1.")}
    adapter = load(save(golden.state | own))
    for heads in (adapter.model.bbox_embed, adapter.model.model.decoder.bbox_embed):
        name = "bbox_embed.1.layers.0.weight"
        assert torch.equal(heads[1].layers[0].weight, own[name])
        assert torch.equal(heads[0].layers[0].weight, golden.state[name])


@pytest.mark.parametrize("kind", ["swin-t", "swin-b"])
def test_the_published_architectures_are_told_apart_by_shapes(golden: Golden, kind: str) -> None:
    shapes = golden.facts["published"][kind]
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    found = architecture(state | {n: torch.zeros(1) for n in shapes if n.startswith("bbox_embed")})
    depths, heads, window = {
        "swin-t": ([2, 2, 6, 2], [3, 6, 12, 24], 7),
        "swin-b": ([2, 2, 18, 2], [4, 8, 16, 32], 12),
    }[kind]
    swin = found["backbone_config"]
    assert (swin["depths"], swin["num_heads"], swin["window_size"]) == (depths, heads, window)
    assert swin["image_size"] == {7: 224, 12: 384}[window]
    assert (found["num_queries"], found["encoder_attention_heads"]) == (900, 8)
    assert found["text_config"]["num_attention_heads"] == 12
    assert rename(state).left_over == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["swin-t", "swin-b"])
def test_published_sizes_leave_no_weight_without_its_place(
    save: Save, golden: Golden, kind: str
) -> None:
    shapes = golden.facts["published"][kind]
    state = {n: torch.zeros(s) for n, s in shapes.items() if not n.endswith("position_index")}
    path = save(state, None)
    (path.parent / "vocab.txt").write_text("\n".join(vocabulary(30522)) + "\n", "utf-8")
    assert load(path).model.config.backbone_config.embed_dim == {"swin-t": 96, "swin-b": 128}[kind]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("feat_map.bias"), "lacks weights: model.text_projection.bias"),
        (lambda s: s.pop("transformer.level_embed"), "has no transformer.level_embed"),
        (lambda s: s.update(extra=torch.zeros(3)), "no known part: extra"),
        (
            lambda s: s.update({"bert.embeddings.extra": torch.zeros(3)}),
            "no place for: model.text_backbone.embeddings.extra",
        ),
        (
            lambda s: s.update({"transformer.enc_output.bias": torch.zeros(3)}),
            "not an original Grounding DINO file: .*size",
        ),
        (
            lambda s: s.update({"transformer.level_embed": torch.zeros(3)}),
            r"transformer.level_embed is of shape \[3\]",
        ),
        (lambda s: s.clear() or s.update(a=torch.zeros(3)), "has no transformer.level_embed"),
    ],
)
def test_missing_and_left_over_weights_are_refused(
    save: Save, golden: Golden, cache: Path, change: Callable[[State], object], message: str
) -> None:
    state = dict(golden.state)
    change(state)
    with pytest.raises(AutolabelError, match=message):
        load(save(state))
    assert not [p for p in cache.iterdir() if p.is_dir()] if cache.exists() else True


class Trap:
    """Writes a file where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.trace, "code ran")


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, save: Save) -> None:
    path, trace = save({}), tmp_path / "trace"
    for bad in (Trap(trace), {"model": {"feat_map.bias": Trap(trace)}}):
        torch.save(bad, path)
        with pytest.raises(AutolabelError, match="is refused") as refusal:
            load(path)
        assert "torch.save" in str(refusal.value.hint)
    assert not trace.exists()


def test_files_of_other_kinds(save: Save) -> None:
    path = save({})
    for content in (b"", b"no weights", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(AutolabelError):
            load(path)
    for other in ([1, 2], {"model": {}}, {"model": {"epoch": 3}}, torch.zeros(3)):
        torch.save(other, path)
        with pytest.raises(AutolabelError, match="not an original Grounding DINO file"):
            load(path)


def test_without_a_vocabulary_one_error_and_one_hint(
    save: Save, golden: Golden, run: Run, tmp_path: Path
) -> None:
    path = save(golden.state, None)
    photos = tmp_path / "photos"
    photos.mkdir()
    from PIL import Image

    Image.new("RGB", (40, 30)).save(photos / "a.png")
    done = run("detect", photos, "-w", tmp_path / "ws", "--model", path, "--prompt", "cat")
    assert done.status == 1
    assert [line.split(":")[0] for line in done.err.splitlines() if ": " in line][-2:] == [
        "error",
        "hint",
    ]
    assert "needs the vocabulary of bert-base-uncased" in " ".join(done.err.split())
    assert "vocab.txt" in done.err


@pytest.mark.parametrize(
    "place",
    [
        Path("bert-base-uncased/vocab.txt"),
        Path(f"../hub/models--google-bert--bert-base-uncased/snapshots/{'a' * 40}/vocab.txt"),
        Path(f"../hub/models--IDEA-Research--grounding-dino-tiny/snapshots/{'a' * 40}/vocab.txt"),
    ],
)
def test_places_where_the_vocabulary_is_found(save: Save, golden: Golden, place: Path) -> None:
    check_equal_to_the_original(load(save(golden.state, place)), golden)


def test_the_vocabulary_that_the_hint_has_fetched_is_found_offline(
    save: Save, golden: Golden, tmp_path: Path
) -> None:
    """`hf download ID FILE...` leaves the files, and a list of those that it was not asked for."""
    commit, home = "a" * 40, tmp_path / "hub/models--google-bert--bert-base-uncased"
    path = save(golden.state, Path(f"../hub/{home.name}/snapshots/{commit}/vocab.txt"))
    (home / "refs").mkdir()
    (home / "refs/main").write_text(commit, "utf-8")
    entries = {
        name: {"size": 1, "blob_id": "b" * 40} for name in ("vocab.txt", "pytorch_model.bin")
    }
    (home / "trees").mkdir()
    (home / f"trees/{commit}.json").write_text(
        json.dumps({"format_version": 1, "files": entries}), "utf-8"
    )
    check_equal_to_the_original(load(path), golden)


@pytest.mark.parametrize("spoil", [lambda words: words[:-1], lambda words: words[::-1]])
def test_another_vocabulary_is_refused_and_the_right_one_taken_up(
    save: Save, golden: Golden, spoil: Callable[[list[str]], list[str]]
) -> None:
    path = save(golden.state)
    words = path.parent / "vocab.txt"
    right = words.read_text("utf-8")
    words.write_text("\n".join(spoil(right.split("\n")[:-1])) + "\n", "utf-8")
    with pytest.raises(AutolabelError, match="is not the model's: it has 1"):
        load(path)
    words.write_text(right, "utf-8")
    load(path)


def test_a_conversion_that_broke_off_leaves_nothing(
    save: Save, golden: Golden, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(golden.state)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(grounding_dino_original, "save_file", full)
        with pytest.raises(AutolabelError, match="No space left") as e:
            load(path)
    assert "XDG_CACHE_HOME" in str(e.value.hint)
    assert not [p for p in cache.iterdir() if p.is_dir()]
    load(path)
