"""What running programs of a model costs: seconds of the processor, and programs per second.

    python tests/bench/bench_sandbox.py [--programs 400]

Each row grades other programs: scripts with one run and with ten, functions with ten calls, with
ten asserts, and with tests that load numpy. Beside the sandbox it shows the same with limits alone.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from relex.config import RewardTerm
from relex.rewards import CheckedReward, build_reward, end_rewards

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


def main() -> None:
    parser = argparse.ArgumentParser(description="Programs per second in the sandbox.")
    parser.add_argument("--programs", type=int, default=400)
    num = parser.parse_args().programs
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
