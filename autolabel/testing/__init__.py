"""Checks that whoever writes a plugin can run on it, as autolabel's own tests run them on its own.

Each takes what the package registers, raises `ContractError` with what is wrong, and needs no test
framework; in pytest a whole test is

    def test_it_keeps_the_contract() -> None:
        check_detector("folder/of/a/small/checkpoint")
"""

from __future__ import annotations

from autolabel.testing.dataset_format import check_format, check_round_trip
from autolabel.testing.detector import check_detector
from autolabel.testing.embedder import check_embedder
from autolabel.testing.expect import ContractError
from autolabel.testing.filter_rule import check_rule
from autolabel.testing.segmenter import check_segmenter
from autolabel.testing.stage import check_stage

__all__ = [
    "ContractError",
    "check_detector",
    "check_embedder",
    "check_format",
    "check_round_trip",
    "check_rule",
    "check_segmenter",
    "check_stage",
]
