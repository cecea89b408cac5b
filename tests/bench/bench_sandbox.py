"""What running programs of a model costs: seconds of the processor, and programs per second.

    python tests/bench/bench_sandbox.py [--programs 400] [--toy FOLDER]

Each row grades other programs: scripts with one run and with ten, functions with ten calls, with
ten asserts, and with tests that load numpy. Beside the sandbox it shows the same with limits alone.
Then the base of the toy of code, which is built where FOLDER has none, answers the questions of its
test set, and the answers are graded: the two must be paid in one run, so their ratio says most.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from relex.config import RewardTerm
from relex.config.load import parse_recipe
from relex.evaluation.draws import Draw, draw_all
from relex.evaluation.engine import EngineConfig, Request
from relex.evaluation.scoring import grade as score_answers
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.weight_source import WeightSource
from relex.problems import load_problems
from relex.rewards import CheckedReward, build_reward, end_rewards
from tests.bench.code_toy import build_toy

RECIPE = Path(__file__).parents[2] / "deployments" / "recipes" / "toy-code.yaml"

SCRIPT = "a = {n}\nprint(sum(map(int, input().split())) + a * 0)"
FUNCTION = "def f(x):\n    return x + 1 + {n} * 0"
ASSERTS = [f"assert f({n}) == {n + 1}" for n in range(10)]
KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "a script, 1 run": (SCRIPT, {"runs": [{"given": "1 2", "expected": "3"}]}),
    "a script, 10 runs": (SCRIPT, {"runs": [{"given": "1 2", "expected": "3"}] * 10}),
    "a function, 10 calls": (
        FUNCTION,
        {"calls": [{"function": "f", "arguments": [n], "expected": n + 1} for n in range(10)]},
    ),
    "a function, 10 asserts": (FUNCTION, {"names": ["f"], "asserts": ASSERTS}),
    "the same with numpy": (
        FUNCTION,
        {"names": ["f"], "setup": "import numpy", "asserts": ASSERTS},
    ),
}


def cpu_seconds() -> float:
    """Of this process, and of the workers with all that they have waited for."""
    times = [psutil.Process().cpu_times()]
    for process in psutil.Process().children(recursive=True):
        if "bwrap" not in process.name():
            times.append(process.cpu_times())
    return sum(it.user + it.system for it in times) + sum(
        it.children_user + it.children_system for it in times[1:]
    )


def grade(reward: CheckedReward, program: str, tests: Mapping[str, Any], num: int) -> list[float]:
    """The values of `num` different programs of one kind."""
    return reward(
        prompts=[""] * num,
        completions=[program.replace("{n}", str(n)) for n in range(num)],
        answers=[""] * num,
        extras=[{"tests": tests}] * num,
    )


def generating_and_grading(toy: Path) -> tuple[int, float, float]:
    """The answers of the toy's base, and the processor's seconds to write and to grade them."""
    recipe = parse_recipe(RECIPE.read_text().replace(".relex/toy-code", str(toy)), str(RECIPE))
    problems = {"code": load_problems(recipe.problems.test[0].source)}
    [draws] = draw_all(recipe, toy / "base", problems).values()
    config = EngineConfig(
        source=WeightSource(base=str(toy / "base")), evaluation=recipe.evaluation, dtype="float32"
    )
    engine = TransformersEngine(config, "cpu")
    grader = build_reward(RewardTerm(reward="code_tests"))
    requests, sampling = [draw.request for draw in draws], recipe.exam("code").sampling

    def once(draws: Sequence[Draw], requests: Sequence[Request]) -> tuple[float, float]:
        start = cpu_seconds()
        completions = engine.generate(requests, sampling, lambda _: None)
        written = cpu_seconds()
        score_answers(draws, completions, grader, 1.0)
        return written - start, cpu_seconds() - written

    once(draws[:8], requests[:8])
    seconds = once(draws, requests)
    end_rewards([grader])
    return len(draws), *seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Programs per second in the sandbox.")
    parser.add_argument("--programs", type=int, default=400)
    parser.add_argument("--toy", type=Path, default=Path(".relex/toy-code"))
    arguments = parser.parse_args()
    show_kinds(arguments.programs)
    if not (arguments.toy / "base").exists():
        build_toy(arguments.toy)
    num, generating, grading = generating_and_grading(arguments.toy)
    print(
        f"{num} answers of the toy, seconds of the processor: {generating:.2f} to generate, "
        f"{grading:.2f} to grade, ratio {grading / generating:.2f}"
    )


def show_kinds(num: int) -> None:
    columns = ("programs", "grader", "per second", "cpu ms each", "per second and core")
    table = Table(*columns, title=f"{num} different programs, {psutil.cpu_count()} cores")
    for name, (program, tests) in KINDS.items():
        for grader in ("code_tests", "code_tests_without_sandbox"):
            reward = build_reward(RewardTerm(reward=grader))
            grade(reward, program, tests, 8)
            start, before = time.perf_counter(), cpu_seconds()
            assert grade(reward, program, tests, num) == [1.0] * num
            seconds, busy = time.perf_counter() - start, cpu_seconds() - before
            end_rewards([reward])
            figures = (num / seconds, 1000 * busy / num, num / busy)
            table.add_row(name, grader, *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
