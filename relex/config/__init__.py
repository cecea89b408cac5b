"""Strict, frozen configs; every field is documented with its unit."""

from relex.config.benchmarks import BENCHMARKS, NamedBenchmark, named_benchmark
from relex.config.exam import Exam, Sampling
from relex.config.extrapolation import ExtrapolationConfig
from relex.config.load import (
    check_recipe,
    check_run_recipe,
    dump_recipe,
    load_recipe,
    load_run_recipe,
    load_sweep,
    parse_recipe,
    parse_run_recipe,
)
from relex.config.problems import Benchmark, ProblemsConfig, ProblemSource, PromptConfig
from relex.config.recipe import (
    AnyRecipe,
    BaseConfig,
    EvaluationConfig,
    Recipe,
    RunRecipe,
    Stage,
    StorageConfig,
    TrackingConfig,
    WindowConfig,
    WindowRecipe,
)
from relex.config.rewards import RewardTerm
from relex.config.search import SearchConfig
from relex.config.selection import SelectionConfig
from relex.config.sweep import RewardVariant, SweepConfig, TrainingVariant
from relex.config.training import TrainingConfig

__all__ = [
    "BENCHMARKS",
    "AnyRecipe",
    "BaseConfig",
    "Benchmark",
    "EvaluationConfig",
    "Exam",
    "ExtrapolationConfig",
    "NamedBenchmark",
    "ProblemSource",
    "ProblemsConfig",
    "PromptConfig",
    "Recipe",
    "RewardTerm",
    "RewardVariant",
    "RunRecipe",
    "Sampling",
    "SearchConfig",
    "SelectionConfig",
    "Stage",
    "StorageConfig",
    "SweepConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TrainingVariant",
    "WindowConfig",
    "WindowRecipe",
    "check_recipe",
    "check_run_recipe",
    "dump_recipe",
    "load_recipe",
    "load_run_recipe",
    "load_sweep",
    "named_benchmark",
    "parse_recipe",
    "parse_run_recipe",
]
