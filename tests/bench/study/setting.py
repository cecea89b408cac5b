"""What tells one run of the study from the others, and its recipe."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from relex.checkpoints import TOY_BASE
from relex.config import Recipe, parse_recipe

REPOSITORY = Path(__file__).parents[3]
TASKS = ("addition", "reversal", "upside", "chain", "code")
HELD_OUT = "code"
"""The task that no rule was chosen on, and none of this program was built with."""

WINDOW_STEPS = 30
TUNING_SEED = 0
"""The half on which rules are chosen; it reports nothing."""

REPORT_SEEDS = (1, 2, 3)
LONG_SEED = 1
LONG_LAST_STEPS = {1e-5: 400, 3e-5: 240, 1e-4: 60}
"""How far the runs of one seed are trained on beyond the window, by learning rate, so that the real
steps to an accuracy can be told."""

MOST_TOKENS = {"code": 28}
FEW_TOKENS = 10


def show_rate(rate: float) -> str:
    """`1e-4`, which Python writes as 0.0001."""
    return np.format_float_scientific(rate, trim="-", exp_digits=1)


@dataclass(frozen=True)
class Setting:
    """One run: a task, a learning rate, a seed."""

    task: str
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task}-{show_rate(self.learning_rate)}-{self.seed}"

    @property
    def last_step(self) -> int:
        return LONG_LAST_STEPS[self.learning_rate] if self.seed == LONG_SEED else WINDOW_STEPS

    def base(self, root: Path) -> Path:
        return TOY_BASE if self.task == "addition" else root / self.task / "base"

    def recipe(self, root: Path) -> Recipe:
        """The toy's, with this task, rate and seed, trained on beyond the window."""
        recipe = yaml.safe_load((REPOSITORY / "deployments/recipes/toy.yaml").read_text())
        recipe |= {"name": "study", "seed": self.seed, "device": "cpu"}
        recipe["training"] |= {"steps": self.last_step, "learning_rate": self.learning_rate}
        if self.task != "addition":
            recipe |= {"base": {"path": str(self.base(root))}, "problems": self._problems(root)}
            for part in ("training", "evaluation"):
                most = MOST_TOKENS.get(self.task, FEW_TOKENS)
                recipe[part]["max_completion_tokens"] = most
        if self.task == "code":
            recipe["rewards"] = [{"reward": "code_tests"}]
            recipe["evaluation"]["grader"] = "code_tests"
        return parse_recipe(yaml.safe_dump(recipe), self.name)

    def _problems(self, root: Path) -> dict:
        def source(split: str) -> dict:
            path = str(root / self.task / f"{split}.jsonl")
            extra = ["tests"] if self.task == "code" else []
            return {"kind": "jsonl", "path": path, "extra_columns": extra}

        return {
            "train": source("train"),
            "validation": source("validation"),
            "test": [{"name": self.task, "source": source("test")}],
        }


def settings(seeds: Sequence[int]) -> list[Setting]:
    """Seed by seed, so that a part is a smaller study; within a seed what takes longest first."""
    return [
        Setting(task, rate, seed)
        for seed in seeds
        for rate in LONG_LAST_STEPS
        for task in TASKS
        if not (task == HELD_OUT and seed == TUNING_SEED)
    ]
