"""Shared fixtures: generated photos, and small random checkpoints in the published format."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

from tests.crash import Zygote

REPO = Path(__file__).parents[1]
SAMPLE = REPO / "sample_data"
collect_ignore = ["readers"]  # run by interpreters of other environments

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says more of what else the machine does than of the code.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
os.environ["HF_HUB_OFFLINE"] = "1"
# Before anything loads torch: as many processes as processors are at work, each with one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["PYTHONPATH"] = os.pathsep.join(
    dict.fromkeys([str(REPO), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
)


def _import_this_checkout(event: str, arguments: tuple[Any, ...]) -> None:
    """Fail where a test starts Python without our PYTHONPATH: it would import what is installed."""
    if event != "subprocess.Popen":
        return
    executable, command, _, environment = arguments
    program = os.fsdecode(executable or command[0])
    if program == sys.executable and environment is not None:
        paths = os.fsdecode(environment.get("PYTHONPATH", "")).split(os.pathsep)
        assert str(REPO) in paths, "give a subprocess the PYTHONPATH of os.environ"


sys.addaudithook(_import_this_checkout)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """All the tests run on all processors; files that are named, in this process, at once.

    One more than there are processors, since a test often waits for a disk or another process.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


WORDS = ["red", "white", "blood", "cell", "platelet", "cat", "dog", "black", "smudge", "cell2"]


def make_photos(folder: Path, count: int, size: tuple[int, int] = (96, 64)) -> list[Path]:
    """Distinct photos of random blobs, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = folder / f"{i:04d}.png"
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def save_random_detector(folder: Path, *, seed: int = 0, max_text_len: int = 256) -> Path:
    """A genuine Grounding DINO checkpoint with random weights, some 0.2 M parameters."""
    import torch
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        ConvNextConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
    )

    torch.manual_seed(seed)
    config = GroundingDinoConfig(
        backbone_config=ConvNextConfig(
            depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], out_indices=[2, 3, 4]
        ),
        text_config=BertConfig(
            vocab_size=1100,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        ),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=20,
        num_feature_levels=3,
        max_text_len=max_text_len,
        dropout=0.0,
    )
    model = GroundingDinoForObjectDetection(config).eval()
    vocabulary = [f"[unused{i}]" for i in range(1100)]
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = [*WORDS, *letters, *(f"##{c}" for c in letters)]
    for i, token in {**special, **{200 + i: t for i, t in enumerate(tokens)}}.items():
        vocabulary[i] = token
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = BertTokenizerFast(vocab={token: i for i, token in enumerate(vocabulary)})
    image_processor = GroundingDinoImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 96}, do_pad=True
    )
    GroundingDinoProcessor(image_processor, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_random_segmenter(folder: Path, *, seed: int = 0) -> Path:
    """A genuine SAM checkpoint with random weights, 64 pixels and some 30,000 parameters."""
    import torch
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    torch.manual_seed(seed)
    side = 64
    vision = SamVisionConfig(
        hidden_size=16,
        output_channels=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=8,
        window_size=4,
        global_attn_indexes=[1],
        num_pos_feats=16,
        mlp_ratio=2.0,
        initializer_range=0.02,
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
    )
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=side, patch_size=8)
    model = SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    ).eval()
    with torch.no_grad():  # the library's start makes every mask nearly zero everywhere
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 2 * parameter[0].numel() ** -0.5)
    square = {"height": side, "width": side}
    images = SamImageProcessor(
        size={"longest_edge": side},
        pad_size=square,
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    SamProcessor(images).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def random_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_segmenter(tmp_path_factory.mktemp("models") / "random-sam")


@pytest.fixture(scope="session")
def segmenter() -> Path:
    """The small trained segmenter that the sample ships."""
    return SAMPLE / "models" / "segmenter"


@pytest.fixture(scope="session")
def random_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_detector(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="session")
def detector() -> Path:
    """The small trained detector that the sample ships."""
    return SAMPLE / "models" / "detector"


@dataclass
class Finished:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Finished]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in this process."""
    from autolabel.cli import main

    def command(*arguments: object) -> Finished:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        return Finished(int(end.value.code or 0), printed.out, printed.err)

    return command


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs commands in processes of their own that can be killed."""
    one = Zygote()
    yield one
    one.close()
