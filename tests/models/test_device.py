from __future__ import annotations

import pytest
import torch

from autolabel.errors import AutolabelError
from autolabel.models.device import batch_size, resolve


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two CUDA devices, the second of which has more free memory."""
    free = [(1 << 30, 8 << 30), (5 << 30, 8 << 30)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: free[i])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: f"Card {i}")


def test_the_names_of_yolo(gpus: None) -> None:
    assert resolve("cuda:1") == torch.device("cuda", 1)
    assert resolve("-1") == torch.device("cuda", 1)
    assert resolve("cpu") == torch.device("cpu")


def test_a_device_that_is_not_there_names_those_that_are(
    gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AutolabelError, match=r"cuda:7 is not there: .* cuda:1 \(Card 1\)") as e:
        resolve("cuda:7")
    assert "--device cuda:0" in e.value.hint
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in ("cuda:0", "-1"):
        with pytest.raises(AutolabelError, match=r"is not there: torch \S+ sees .*cpu") as e:
            resolve(name)
        assert "cuda" not in e.value.hint


def weights(megabytes: int) -> torch.nn.Module:
    return torch.nn.Linear(1000, 250 * megabytes, bias=False, device="meta")


def test_a_cpu_takes_one_image_of_a_large_model_and_several_of_a_small() -> None:
    cpu = torch.device("cpu")
    assert batch_size(weights(700), cpu) == 1
    assert batch_size(weights(7), cpu) == 8


@pytest.mark.parametrize(
    ("megabytes", "free_gib", "expected"),
    [(700, 139, 16), (700, 24, 8), (700, 8, 2), (700, 1, 1), (1400, 24, 4), (7, 8, 8), (7, 80, 16)],
)
def test_a_gpu_takes_what_half_its_free_memory_holds(
    monkeypatch: pytest.MonkeyPatch, megabytes: int, free_gib: int, expected: int
) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_gib << 30, 139 << 30))
    assert batch_size(weights(megabytes), card) == expected
