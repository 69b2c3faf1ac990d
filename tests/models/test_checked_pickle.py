"""Checkpoints that would run code are refused before they do; real ones load."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autolabel.errors import AutolabelError
from autolabel.models.checked_pickle import load_network
from autolabel.models.quiet_ultralytics import load_ultralytics


class _Runs:
    """What a hostile file pickles: a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture(scope="module")
def network() -> nn.Module:
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    layers = {
        "nc": 2,
        "backbone": [[-1, 1, "Conv", [8, 3, 2]]] * 3,
        "head": [[[0, 1, 2], 1, "Detect", ["nc"]]],
    }
    model: nn.Module = DetectionModel(layers, verbose=False)
    return model


def test_a_network_loads_as_it_was(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": network, "train_args": {"imgsz": 64}}, path)
    loaded = load_network(path)
    assert loaded["train_args"] == {"imgsz": 64}
    assert [type(m) for m in loaded["model"].modules()] == [type(m) for m in network.modules()]
    image = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        got, expected = loaded["model"].eval()(image), network.eval()(image)
    assert torch.equal(got[0], expected[0])


@pytest.mark.parametrize("place", ["top", "in the network", "in a list"])
def test_code_in_a_file_is_not_run(network: nn.Module, tmp_path: Path, place: str) -> None:
    touched, path = tmp_path / "touched", tmp_path / "a.pt"
    evil: Any = _Runs(os.system, f"touch {touched}")
    if place == "in the network":
        network.surprise = evil  # type: ignore[assignment]
    content = {"top": evil, "in the network": {"model": network}, "in a list": {"x": [evil]}}
    try:
        torch.save(content[place], path)
    finally:
        vars(network).pop("surprise", None)
    with pytest.raises(AutolabelError, match="system"):
        load_network(path)
    assert not touched.exists()


def test_a_layer_may_be_filled_but_not_called(tmp_path: Path) -> None:
    load_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    touched, path = tmp_path / "touched", tmp_path / "a.pt"
    layers = {"nc": 1, "activation": f"__import__('os').system('touch {touched}')", "backbone": []}
    torch.save({"model": _Runs(DetectionModel, layers)}, path)
    with pytest.raises(AutolabelError, match="a call of DetectionModel"):
        load_network(path)
    torch.save({"model": _Runs(nn.Linear, 2, 2)}, path)
    with pytest.raises(AutolabelError, match="a call of Linear"):
        load_network(path)
    assert not touched.exists()


def test_what_a_network_is_not_made_of_is_named(tmp_path: Path) -> None:
    load_ultralytics()
    from ultralytics.nn.autobackend import AutoBackend

    path = tmp_path / "a.pt"
    torch.save({"model": AutoBackend}, path)  # loads whatever file it is told to
    with pytest.raises(AutolabelError, match=r"ultralytics\.nn\.autobackend\.AutoBackend"):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(AutolabelError, match="cannot be read as a checkpoint"):
        load_network(path)
    with pytest.raises(AutolabelError, match="cannot be read as a checkpoint"):
        load_network(tmp_path / "missing.pt")
