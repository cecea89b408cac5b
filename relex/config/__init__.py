"""Strict, frozen configs; every field is documented with its unit."""

from relex.config.benchmarks import BENCHMARKS, NamedBenchmark, named_benchmark
from relex.config.exam import GREEDY, VALIDATION, Sampling
from relex.config.load import (
    check_recipe,
    check_run_recipe,
    dump_recipe,
    load_recipe,
    load_run_recipe,
    load_sweep,
    parse_recipe,
)
from relex.config.lora import LoraConfig
from relex.config.problems import ProblemSource, PromptConfig
from relex.config.recipe import (
    AnyRecipe,
    BaseConfig,
    Recipe,
    RunRecipe,
    Stage,
    WindowRecipe,
)
from relex.config.rewards import RewardTerm
from relex.config.rollouts import RolloutsConfig
from relex.config.search import SearchConfig
from relex.config.selection import SelectionConfig
from relex.config.storage import StorageConfig, TrackingConfig
from relex.config.sweep import RewardVariant, SweepConfig, TrainingVariant
from relex.config.training import TrainingConfig
