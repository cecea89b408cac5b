"""The doors through which the code comes in that a recipe names: ours and everybody else's.

A built-in has a short name, which stands for a dotted path in one of the tables below; all else is
`module:name`, wherever it is on the Python path. What a name may run, `relex/doors/plugins.py`
decides; what the code gets and gives, the last column says, and `docs/extending.md` shows.
`relex.testing` checks it.

| door | a recipe names it in | signature |
|---|---|---|
| REWARD | `rewards`, and the graders | `(completions, answers, **_) -> numbers` |
| SOURCE | `problems`: `kind` | `(source) -> rows` |
| METHOD | `extrapolation.methods` | `(gram_SS, steps, target, *, parameter=default) -> weight_S` |
| ENGINE | `evaluation.engine` | `(config, device) -> engine` |
| TRAINER | `training.trainer` | `(job) -> None` |
"""

from pathlib import Path

from relex.doors.door import Door
from relex.errors import ProblemError, RewardError

GRADERS = {
    "exact_match": "relex.rewards.exact_match:ExactMatch",
    "math_equality": "relex.rewards.math_equality:MathEquality",
    "reasoning_gym": "relex.rewards.gym:ReasoningGym",
    "code_tests": "relex.rewards.code_tests:PassesTests",
    "code_tests_without_sandbox": "relex.rewards.code_tests:PassesTestsUnsafely",
}
"""Rewards of which 1.0 means correct."""

REWARD = Door("reward", {**GRADERS, "format": "relex.rewards.format:Format"}, RewardError)
SOURCE = Door(
    "question source",
    {
        "toy": "relex.toy.problems:toy_rows",
        "jsonl": "relex.problems.sources:jsonl_rows",
        "parquet": "relex.problems.sources:parquet_rows",
        "hub": "relex.problems.sources:hub_rows",
        "reasoning_gym": "relex.problems.gym:reasoning_gym_rows",
        "human_eval": "relex.problems.code_sets:human_eval_rows",
        "mbpp": "relex.problems.code_sets:mbpp_rows",
        "live_code_bench": "relex.problems.code_sets:live_code_bench_rows",
        "apps": "relex.problems.code_sets:apps_rows",
    },
    ProblemError,
)
METHODS = "relex.extrapolation.methods"
METHOD = Door(
    "method",
    {
        path.stem: f"{METHODS}.{path.stem}:{path.stem}"
        for path in sorted(Path(__file__).parents[1].glob("extrapolation/methods/[!_]*.py"))
    },
)
ENGINE = Door(
    "engine",
    {
        "auto": "relex.evaluation.choose:auto",
        "vllm": "relex.evaluation.choose:vllm",
        "transformers": "relex.evaluation.transformers_engine:TransformersEngine",
    },
)
TRAINER = Door("trainer", {"grpo": "relex.training.grpo_run:train"})
