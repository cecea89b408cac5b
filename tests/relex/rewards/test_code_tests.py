"""What `code_tests` takes for a program, and what it is worth."""

from collections.abc import Sequence
from typing import Any

import pytest

from relex.config import RewardTerm
from relex.errors import RewardError
from relex.problems import Problem
from relex.problems.code_tests import CodeTests
from relex.rewards import CheckedReward, build_reward, end_rewards
from relex.rewards.code_tests import PassesTests, Task, program_of
from relex.rewards.same import same_output
from relex.rewards.sandbox import MOST_RUNS, Ended, Limits, Worker
from relex.rewards.sandbox.bubblewrap import in_sandbox
from relex.testing import check_grader

CALLS = {"calls": [{"function": "f", "arguments": [n], "expected": [n, n + 1]} for n in range(4)]}
RUNS = {"runs": [{"given": f"{n}\n", "expected": f"{n + 1}"} for n in range(4)]}
ASSERTS = {"names": ["f"], "setup": "from math import pi", "asserts": ["assert f(1) == (1, 2)"]}
RIGHT = "def f(n): return n, n + 1"


@pytest.fixture(scope="module")
def grade(sandbox):
    made: dict[bool, CheckedReward] = {
        fraction: build_reward(RewardTerm(reward="code_tests", params={"fraction": fraction}))
        for fraction in (False, True)
    }

    def grade(completion: str, tests: Any, fraction: bool = False) -> tuple[float, str]:
        extras = [{"tests": tests}]
        (verdict,) = made[fraction](
            prompts=[""], completions=[completion], answers=[""], extras=extras
        )
        return verdict, verdict.reason

    yield grade
    end_rewards(list(made.values()))


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("x = 1", "x = 1"),
        ("    return 1\n", "    return 1\n"),
        ("So:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\nold\n```\n~~~\n```py\nnew\n```", "new\n"),
        ("<think>```\nno\n```</think>```\nyes\n```", "yes\n"),
        ("<think>```\nno\n```", ""),
        ("```python\ncut = 1", "cut = 1"),
        ("- So:\n  ```python\n  if x:\n    y = 1\n  ```", "if x:\n  y = 1\n"),
        ("```python\nx = 1\n```\nIt prints:\n```\n7\n```", "x = 1\n"),
        ("```py\nold\n```\n```Python3 title=a.py\nnew\n```\n```bash\npip\n```", "new\n"),
        ("```bash\npip\n```\n```python\ncut = 1", "cut = 1"),
        ("```bash\npip\n```\n```\ncut = 1", "pip\n"),
        ("```python\nold\n```python\nnew\n```", "new\n"),
        ("```x``` is one.\n```python\nx = 1\n```", "x = 1\n"),
        ("````python\n# has\n```\n# inside\n````", "# has\n```\n# inside\n"),
        (
            '```python\ndef f():\n    """\n    ```\n    """\n```',
            'def f():\n    """\n    ```\n    """\n',
        ),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("```{.python}\r\nx = 1\r\n```\r\n", "x = 1\r\n"),
        ("```" * 100_000, ""),
        ("~" * 1_000_000 + "`", "~" * 1_000_000 + "`"),
        ("```" + " " * 1_000_000 + "`", "```" + " " * 1_000_000 + "`"),
    ],
)
def test_the_last_block_is_the_program(completion: str, program: str) -> None:
    assert program_of(completion) == program


@pytest.mark.parametrize("tests", [CALLS, ASSERTS])
def test_functions(grade, tests: dict[str, Any]) -> None:
    assert grade(RIGHT, tests) == (1, "")
    assert grade("def f(n): return 0", tests)[0] == 0
    assert grade("def g(n): return 0", tests)[1].startswith(
        "test 1: exception: NameError: the program has no function f"
    )


def test_a_method_is_called_on_an_instance_or_as_a_plain_function(grade) -> None:
    tests = {"calls": [{"function": "Solution.go", "arguments": [2], "expected": 4}]}
    assert grade("class Solution:\n    def go(self, x): return x * x", tests) == (1, "")
    assert grade("def go(x): return x * x", tests) == (1, "")


def test_each_call_has_its_seconds(grade) -> None:
    busy = "import time\ndef f(n):\n    end = time.process_time() + {}\n"
    busy += "    while time.process_time() < end: pass\n    return n, n + 1"
    tests = CALLS | {"seconds": 1}
    assert grade(busy.format("0.4"), tests) == (1, "")
    value, reason = grade(busy.format("0.4 if n < 2 else 9"), tests, fraction=True)
    assert value == 0.5 and reason == "test 3: timeout; test 4: timeout (of 4)"


def test_programs_that_read_and_print(grade) -> None:
    assert grade("print(int(input()) + 1)", RUNS) == (1, "")
    assert grade("print(int(input()) + 1.0)", RUNS) == (1, "")
    assert grade("print(1)", RUNS) == (0, "test 2: wrong (of 4)")


@pytest.mark.parametrize(
    "left",
    ["math.one = 5", "import os, sys; sys.stdout.flush(); os._exit(0)", "open('x', 'w')"],
)
def test_a_run_does_not_fail_by_what_an_earlier_one_left(grade, left: str) -> None:
    runs = [{"given": f"{n}\n", "expected": f"{n + 1}"} for n in range(2 * MOST_RUNS)]
    program = (
        "import math, os\nassert not os.path.exists('x')\n"
        f"print(int(input()) + getattr(math, 'one', 1))\n{left}"
    )
    assert grade(program, {"runs": runs}) == (1, "")


def test_runs_that_fail_are_told_apart_from_those_that_pass(grade) -> None:
    runs = [{"given": f"{n}\n", "expected": f"{n % 3}"} for n in range(12)]
    assert grade("print(int(input()) % 3)", {"runs": runs}) == (1, "")
    value, reason = grade("n = int(input())\nprint(n % 3 if n % 4 else -n)", {"runs": runs}, True)
    assert value == 10 / 12 and reason == "test 5: wrong; test 9: wrong (of 12)"


def test_equal_programs_are_run_once_and_verdicts_stay_in_order(sandbox) -> None:
    grader = build_reward(RewardTerm(reward="code_tests"))
    # What the clock decides is not the same twice.
    lucky = "import time\ndef f(n): return (n, n + 1) if time.perf_counter_ns() // 99 % 2 else 0"
    completions = [RIGHT, lucky, "def f(n): return 0"] * 30
    tests = [{"calls": CALLS["calls"][:1]}, ASSERTS]
    # Of every second one the tests are the same and no other is.
    extras = [{"tests": dict(tests[n % 2])} for n in range(90)]

    def grade() -> list[float]:
        return grader(prompts=[""] * 90, completions=completions, answers=[""] * 90, extras=extras)

    values = grade()
    assert values[::3] == [1] * 30 and values[2::3] == [0] * 30
    assert len(set(values[1::6])) == len(set(values[4::6])) == 1
    assert grade() == values
    end_rewards([grader])


def test_a_share_of_the_tests_for_training(grade) -> None:
    half = "def f(n): return (n, n + 1) if n < 2 else None"
    assert grade(half, CALLS) == (0, "test 3: wrong; test 4: wrong (of 4)")
    assert grade(half, CALLS, fraction=True) == (0.5, "test 3: wrong; test 4: wrong (of 4)")
    assert grade("print(min(2, int(input()) + 1))", RUNS, fraction=True)[0] == 0.5
    assert grade(RIGHT, CALLS, fraction=True) == (1, "")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("", "no code"),
        ("```python\n```", "no code"),
        ("def f(n):\n    while True: pass", "test 1: timeout"),
        ("import time; time.sleep(99)", "test 1: timeout"),
        ("def f(n): return [0] * 10 ** 10", "test 1: memory"),
        ("def f(n): return 1 / 0", "test 1: exception: ZeroDivisionError"),
        ("I do not know.", "no Python: invalid syntax (program.py, line 1)"),
        ("import os; os.abort()", "test 1: ended by SIG"),
    ],
)
def test_the_reason_stands_beside_the_verdict(grade, completion: str, reason: str) -> None:
    value, found = grade(completion, CALLS | {"seconds": 1})
    assert value == 0 and found.startswith(reason)


def test_a_prefix_goes_before_a_body_and_before_a_whole_function(grade) -> None:
    tests = ASSERTS | {"prefix": 'def f(n):\n    """Say it."""\n'}
    assert grade("    return n, n + 1", tests) == (1, "")
    assert grade(RIGHT, tests) == (1, "")


@pytest.mark.parametrize(
    ("printed", "expected", "tolerance", "is_same"),
    [
        ("1 2\n3\n", "1 2\n3", 0, True),
        (" 1 2 \n\t3", "1 2\n3", 0, True),
        ("1 2 3", "1 2\n3", 0, False),
        ("1.50", "1.5", 0, True),
        ("0.1", "0.10000000000000001", 0, False),
        ("0.333333", "0.3333333333", 0, False),
        ("0.333333", "0.3333333333", 1e-5, True),
        ("yes", "Yes", 0, False),
        ("nan", "nan", 0, True),
        ("nan", "1", 1e-5, False),
        ("snan", "1", 0, False),
        ("1e999999999", "1", 0, False),
        ("", "", 0, True),
        ("1 1 1", "1", 0, False),
        ("1", "1 1", 0, False),
    ],
)
def test_outputs_are_compared_line_by_line(
    printed: str, expected: str, tolerance: float, is_same: bool
) -> None:
    assert same_output(printed, expected, tolerance) == is_same


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "a problem has no tests; .*extra_columns"),
        ({"tests": {}}, "tests: Value error, give one of runs, calls and asserts, found 0"),
        ({"tests": CALLS | RUNS}, "found 2"),
        ({"tests": '{"calls": 3}'}, r"tests\.calls: Input should be a valid (tuple|array)"),
        ({"tests": CALLS | {"secs": 1}}, r"tests\.secs: Extra inputs"),
    ],
)
def test_tests_that_are_missing_or_malformed(sandbox, extra: Any, message: str) -> None:
    grader = build_reward(RewardTerm(reward="code_tests"))
    with pytest.raises(RewardError, match=message):
        grader(prompts=[""], completions=["x"], answers=[""], extras=[extra])
    end_rewards([grader])


class Counting(Worker):
    """Remembers how many runs shared each process."""

    def __init__(self) -> None:
        super().__init__(in_sandbox())
        self.nums: list[int] = []

    def scripts(self, source: str, givens: Sequence[str], limits: Limits) -> list[Ended]:
        self.nums.append(len(givens))
        return super().scripts(source, givens, limits)


@pytest.mark.usefixtures("sandbox")
def test_runs_share_a_process_until_one_does_not_pass_there() -> None:
    """A program that sees that it shares one, and then does not answer, must not cost more."""
    plain = "print(int(input()) + 1)"
    sees = f"import os\ntry:\n    os.fstat(7)\nexcept OSError:\n    {plain}"
    grader, tests = PassesTests(), CodeTests.model_validate(RUNS)
    for program, nums in ((plain, [1, 3]), (sees, [1, 3, 1, 1, 1])):
        worker = Counting()
        assert grader._runs(worker, Task(program, tests)) == [""] * 4
        worker.stop()
        assert worker.nums == nums


def test_it_keeps_the_contract_of_a_grader(sandbox) -> None:
    """Also with the text of JSON, as a column of a table has it."""
    problem = Problem("Write f.", RIGHT, extra={"tests": ASSERTS})
    check_grader("code_tests", [problem], right=["```python\n{answer}\n```"])


def test_gold_answers_are_run_against_their_tests(sandbox) -> None:
    grader = build_reward(RewardTerm(reward="code_tests"))
    golds = [RIGHT, "def f(n): return 0", "an id"]
    extras = [{"tests": ASSERTS}] * 2 + [{"tests": ASSERTS | {"is_solved": False}}]
    assert grader.function.verify_golds(golds, extras) == [True, False, True]
    end_rewards([grader])
