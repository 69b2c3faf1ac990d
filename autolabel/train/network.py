"""What the description of a network may hold: layers from a list, in numbers that fit a machine.

Ultralytics builds whatever a description names, in whatever number, and some layers fetch weights
or unpickle files as they are built. So a description is looked through first, and then built
without memory to see how large it would be.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from ultralytics.nn import tasks

from autolabel.errors import AutolabelError

HEADS: Mapping[str, bool] = {
    "Detect": False,
    "v10Detect": False,
    "Segment": True,
    "Segment26": True,
}
"""Last layer -> whether it finds masks."""

_BLOCKS = """
    A2C2f AConv ADown AIFI Bottleneck BottleneckCSP C1 C2 C2PSA C2f C2fCIB C2fPSA C3 C3Ghost C3TR
    C3k2 C3x CBAM CBFuse CBLinear ChannelAttention Concat Conv Conv2 ConvTranspose DWConv
    DWConvTranspose2d ELAN1 Focus GhostBottleneck GhostConv HGBlock HGStem LightConv PSA RepC3
    RepConv RepNCSPELAN4 ResNetLayer SCDown SPP SPPELAN SPPF SpatialAttention
"""
_PLAIN = """
    AvgPool2d BatchNorm2d Conv2d ConvTranspose2d Dropout GELU Hardswish Identity LeakyReLU MaxPool2d
    Mish ReLU ReLU6 SiLU Upsample ZeroPad2d
"""
LAYERS = frozenset({*HEADS, *_BLOCKS.split(), *(f"nn.{name}" for name in _PLAIN.split())})
"""What a description may name: layers that are made of nothing but their arguments."""

_COUNTS = {"RepNCSPELAN4": 3, "ResNetLayer": 4}
"""Layer -> the place of the argument that says how often a part of it is repeated."""
_WORDS = frozenset({"nc", "None", "True", "False", "nearest", "bilinear", "bicubic"})
_ACTIVATION = re.compile(
    r"(torch\.)?nn\.(ReLU6?|SiLU|GELU|Mish|Hardswish|LeakyReLU|Identity)"
    r"\((inplace=True|[0-9.]{1,6})?\)"
)

MOST_ROWS = 300
MOST_REPEATS = 100
MOST_LAYERS = 600
"""Rows with their repeats; the largest of ultralytics has some 60."""
MOST_ARGUMENTS = 32
LARGEST_NUMBER = 8192
MOST_WEIGHTS = 1_000_000_000
"""The largest of ultralytics has 160 million."""
MOST_VALUES = 100_000_000
"""That one layer may give for an image of `_SIDE` pixels."""
_SIDE = 256


class _WrongError(Exception):
    """What is wrong with a description."""


def check_network(network: Any, name: str) -> bool:
    """See that a description can be built, and is that of a student.

    Returns:
        Whether the network finds masks.

    Raises:
        AutolabelError: it is none, names what is not a layer of the list, or is too large.
    """
    try:
        layers = [_row(row, i, network) for i, row in enumerate(_rows(network))]
        if layers[-1] not in HEADS:
            raise _WrongError(f"its last layer is {layers[-1]!r}")
        _scaled(network)
        _weigh(network)
    except _WrongError as e:
        raise AutolabelError(
            f"student {name} is not a network for boxes or masks: {e}",
            hint="name one of ultralytics, such as yolo26n.yaml, or describe one like it",
        ) from None
    return HEADS[layers[-1]]


def _rows(network: Any) -> list[Any]:
    parts = [network.get(part) for part in ("backbone", "head")] if _is_map(network) else [None]
    if not all(isinstance(part, list) for part in parts):
        raise _WrongError("it has no lists backbone and head")
    rows = [row for part in parts for row in part or ()]
    if not 0 < len(rows) <= MOST_ROWS:
        raise _WrongError(f"it has {len(rows)} rows, not 1 to {MOST_ROWS}")
    return rows


def _row(row: Any, index: int, network: Mapping[str, Any]) -> str:
    """Return the name of a row's layer."""
    if not isinstance(row, list) or len(row) != 4:
        raise _WrongError(f"row {index} is not [from, repeats, layer, arguments]")
    source, repeats, layer, arguments = row
    if not isinstance(layer, str) or layer not in LAYERS:
        raise _WrongError(f"{str(layer)[:80]!r} is not a layer that a student may have")
    sources = source if isinstance(source, list) else [source]
    if not sources or len(sources) > MOST_ARGUMENTS or not all(map(_is_count, sources)):
        raise _WrongError(f"row {index}, {layer}, takes its input from no row")
    if not _is_count(repeats) or not 1 <= repeats <= MOST_REPEATS:
        raise _WrongError(f"row {index}, {layer}, is repeated {_shown(repeats)} times")
    if not isinstance(arguments, list):
        raise _WrongError(f"row {index}, {layer}, has no list of arguments")
    values = list(_flat(arguments))
    if len(values) > MOST_ARGUMENTS:
        raise _WrongError(f"row {index}, {layer}, has more than {MOST_ARGUMENTS} arguments")
    for value in values:
        if not _is_argument(value):
            raise _WrongError(f"row {index}, {layer}, has the argument {_shown(value)}")
    at = _COUNTS.get(layer)
    if at is not None and len(arguments) > at and not 0 <= _number(arguments[at]) <= MOST_REPEATS:
        raise _WrongError(f"row {index}, {layer}, is repeated {_shown(arguments[at])} times")
    return layer


def _flat(arguments: list[Any]) -> Iterator[Any]:
    """Arguments, and those of lists among them; a list in such a list stays one."""
    for value in arguments[: MOST_ARGUMENTS + 1]:
        yield from (value[: MOST_ARGUMENTS + 1] if isinstance(value, list) else [value])


def _is_argument(value: Any) -> bool:
    if isinstance(value, str):
        return value in _WORDS
    return value is None or isinstance(value, bool) or abs(_number(value)) <= LARGEST_NUMBER


def _number(value: Any) -> float:
    """Return a finite number, else infinity."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return value if known and math.isfinite(value) else math.inf


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER


def _shown(value: Any) -> str:
    return str(value)[:40] if isinstance(value, str | int | float) else type(value).__name__


def _scaled(network: Mapping[str, Any]) -> None:
    """See that what multiplies rows and channels is no more than a few."""
    scales = network.get("scales") or {}
    depths = [network.get("depth_multiple", 1.0)]
    widths = [network.get("width_multiple", 1.0)]
    if not _is_map(scales) or len(scales) > MOST_ARGUMENTS:
        raise _WrongError("its scales are not a mapping")
    for name, scale in scales.items():
        if not isinstance(scale, list) or len(scale) != 3:
            raise _WrongError(f"its scale {_shown(name)} is not [depth, width, most channels]")
        depths.append(scale[0])
        widths += [scale[1], _number(scale[2]) / LARGEST_NUMBER]
    if not all(0 < _number(m) <= 8 for m in (*depths, *widths)):
        raise _WrongError("it multiplies depth or width by more than 8")
    total = sum(row[1] * max(depths) if row[1] > 1 else 1 for row in _rows(network))
    if total > MOST_LAYERS:
        raise _WrongError(f"it has {total:.0f} layers, more than {MOST_LAYERS}")
    activation = network.get("activation")
    if activation is not None and not _ACTIVATION.fullmatch(str(activation)[:80]):
        raise _WrongError(f"its activation is {_shown(activation)}")
    for key, most in (("nc", 1_000_000), ("reg_max", 128)):
        if not 0 <= _number(network.get(key, 1)) <= most:
            raise _WrongError(f"its {key} is {_shown(network[key])}")


def _weigh(network: Mapping[str, Any]) -> None:
    """Build it without memory, and see how many weights it has and how large its layers' output."""
    plain = {**copy.deepcopy(dict(network)), "nc": 1}
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            layers, _ = tasks.parse_model(plain, ch=3, verbose=False)
            largest = _largest(layers)
    except Exception as e:  # a layer raises anything on arguments that it does not know
        raise _WrongError(f"it cannot be built ({' '.join(str(e).split())[:120]})") from e
    weights = sum(parameter.numel() for parameter in layers.parameters())
    if weights > MOST_WEIGHTS or largest > MOST_VALUES:
        raise _WrongError(
            f"it has {weights:,} weights and up to {largest:,} values in a layer's output, more "
            f"than {MOST_WEIGHTS:,} and {MOST_VALUES:,}"
        )


def _largest(layers: nn.Sequential) -> int:
    """Most values in an output of the layers before the last, for one square image."""
    given: list[Any] = []
    x: Any
    image = x = torch.zeros(1, 3, _SIDE, _SIDE)
    sizes = [0]
    for layer in list(layers)[:-1]:
        sources: Any = layer.f
        if isinstance(sources, list):
            x = [
                given[-1] if j == -1 and given else image if j == -1 else given[j] for j in sources
            ]
        elif sources != -1:
            x = given[sources]
        x = layer(x)
        given.append(x)
        sizes += [one.numel() for one in (x if isinstance(x, list | tuple) else [x])]
        if max(sizes) > MOST_VALUES:
            break
    return max(sizes)
