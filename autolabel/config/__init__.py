"""One frozen model per stage. Flag, YAML key, default, bounds and help come from its fields.

A model's `settings` are what shapes a layer's content and so binds it; sources, output folders and
engine options say only how or where, and are left out.
"""

from autolabel.config.base import Config, build, choices_of, group_of
from autolabel.config.classes import RelabelConfig, class_changes
from autolabel.config.corrections import ImportConfig
from autolabel.config.evaluate import EvaluateConfig
from autolabel.config.filter import FilterConfig
from autolabel.config.pipeline import STEPS, PipelineConfig, load_pipeline
from autolabel.config.report import ReportConfig
from autolabel.config.review import ReviewConfig
from autolabel.config.serve import ServeConfig
from autolabel.config.stages import (
    DetectConfig,
    EngineConfig,
    ExportConfig,
    IngestConfig,
    RefineConfig,
)
from autolabel.config.train import TrainConfig

__all__ = [
    "STEPS",
    "Config",
    "DetectConfig",
    "EngineConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FilterConfig",
    "ImportConfig",
    "IngestConfig",
    "PipelineConfig",
    "RefineConfig",
    "RelabelConfig",
    "ReportConfig",
    "ReviewConfig",
    "ServeConfig",
    "TrainConfig",
    "build",
    "choices_of",
    "class_changes",
    "group_of",
    "load_pipeline",
]
