"""Strict, frozen configs; every field is documented with its unit."""

from relex.config.extrapolation import Convention, ExtrapolationConfig, PredictionOptions
from relex.config.load import check_recipe, dump_recipe, load_recipe, parse_recipe
from relex.config.problems import Benchmark, ProblemsConfig, ProblemSource, PromptConfig
from relex.config.recipe import (
    BaseConfig,
    EvaluationConfig,
    Recipe,
    SelectionConfig,
    StorageConfig,
    TrackingConfig,
)
from relex.config.rewards import RewardTerm
from relex.config.training import TrainingConfig

__all__ = [
    "BaseConfig",
    "Benchmark",
    "Convention",
    "EvaluationConfig",
    "ExtrapolationConfig",
    "PredictionOptions",
    "ProblemSource",
    "ProblemsConfig",
    "PromptConfig",
    "Recipe",
    "RewardTerm",
    "SelectionConfig",
    "StorageConfig",
    "TrackingConfig",
    "TrainingConfig",
    "check_recipe",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
]
