"""Rows of published sets of code, in their true form, become problems whose gold answers pass."""

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from relex.config import ProblemSource, RewardTerm
from relex.errors import ProblemError
from relex.problems import Problem, code_tests, load_problems
from relex.rewards import build_reward, check_golds, end_rewards

HUMAN_EVAL = {
    "task_id": "HumanEval/0",
    "prompt": "from typing import List\n\n\ndef twice(x: int) -> int:\n    return 2 * x\n\n\n"
    'def doubled(numbers: List[int]) -> List[int]:\n    """ Twice each.\n'
    '    >>> doubled([1])\n    [2]\n    """\n',
    "canonical_solution": "    return [twice(x) for x in numbers]\n",
    "test": "\n\nMETADATA = {\n    'author': 'x'\n}\n\n\ndef check(candidate):\n"
    "    assert candidate([1, 2]) == [2, 4]\n    assert candidate([twice(1)]) == [4]\n",
    "entry_point": "doubled",
}
HUMAN_EVAL_PLUS = HUMAN_EVAL | {
    "test": "import numpy as np\n\ndef assertion(out, exp, atol):\n"
    "    if atol != 0:\n        np.testing.assert_allclose(out, exp, rtol=1e-07, atol=atol)\n"
    "    else:\n        assert out == exp, f'out: {out}, exp: {exp}'\n\n\n"
    "def check(candidate):\n    inputs = [[[1, 2, 3]], [[]]]\n    results = [[2, 4, 6], []]\n"
    "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    "        assertion(candidate(*inp), exp, 1e-06)\n",
}
MBPP = {
    "task_id": 601,
    "text": "Write a function to find the longest chain of pairs.",
    "code": "class Pair(object): \n\tdef __init__(self, a, b): \n"
    "\t\tself.a = a \n\t\tself.b = b \r\n"
    "def sum(arr, n): \n\treturn max(p.b - p.a for p in arr) + n",
    "test_list": [
        "assert sum([Pair(5, 24), Pair(1, 2)], 4) == 23",
        "assert sum([Pair(1, 1)], 0) == 0",
    ],
    "test_setup_code": "",
    "challenge_test_list": [],
}
MBPP_PLUS = {
    "task_id": 2,
    "code": "\ndef shared(a, b):\n  return tuple(set(a) & set(b))\n",
    "prompt": "Write a function to find the shared elements.",
    "source_file": "Benchmark Questions Verification V2.ipynb",
    "test_imports": ["import math"],
    "test_list": ["assert set(shared((3, 4), (4, 5))) == {4}"],
    "test": "import numpy as np\nfrom math import inf\n\n"
    "def assertion(out, exp, atol):\n    exp, out = set(exp), set(out)\n    assert out == exp\n\n"
    "inputs = [[(3, 4), (4, 5)], [(1,), (2,)]]\nresults = [(4,), ()]\n"
    "for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    "    assertion(shared(*inp), exp, 0)\n",
}
PRIVATE = [{"input": "3\n", "output": "6\n", "testtype": "stdin"}]
LIVE_INPUT = {
    "question_title": "A",
    "question_content": "Print twice the number.",
    "platform": "atcoder",
    "question_id": "abc001_a",
    "contest_id": "abc001",
    "contest_date": "2025-01-04T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}]),
    "private_test_cases": base64.b64encode(
        zlib.compress(pickle.dumps(json.dumps(PRIVATE)))
    ).decode(),
    "metadata": "{}",
}
LIVE_FUNCTION = LIVE_INPUT | {
    "question_content": "Return the pair's larger one and its sum.",
    "platform": "leetcode",
    "question_id": "3001",
    "contest_date": "2025-02-08T00:00:00",
    "starter_code": "class Solution:\n    def best(self, a: List[int], k: int):\n        ",
    "public_test_cases": json.dumps(
        [{"input": "[1, 2]\n3", "output": "[2, 6]", "testtype": "functional"}]
    ),
    "private_test_cases": json.dumps(
        [{"input": "[5, 4]\n0", "output": "[5, 9]", "testtype": "functional"}]
    ),
    "metadata": '{"func_name": "best"}',
}
APPS = {
    "id": 0,
    "question": "Print the sum of the line.",
    "solutions": json.dumps(["print(sum(map(float, input().split())))"]),
    "input_output": json.dumps({"inputs": ["1 2\n", ["3 4"]], "outputs": ["3\n", ["7"]]}),
    "difficulty": "introductory",
    "url": "https://codeforces.com/problemset/problem/1/A",
    "starter_code": "",
}
CODEWARS = APPS | {
    "question": "Reverse the text.",
    "solutions": json.dumps(["def turned(s): return s[::-1]"]),
    "input_output": json.dumps({"fn_name": "turned", "inputs": [["ab"]], "outputs": [["ba"]]}),
    "url": "https://www.codewars.com/kata/1",
    "starter_code": "def turned(s):\n\t",
}
LEETCODE = APPS | {
    "question": "Return the list turned.",
    "solutions": json.dumps(["class Solution:\n    def turned(self, s): return s[::-1]"]),
    "input_output": json.dumps({"fn_name": "turned", "inputs": [[[1, 2]]], "outputs": [[2, 1]]}),
    "url": "https://leetcode.com/problems/1/",
    "starter_code": "class Solution:\n    def turned(self, s):\n        ",
}
UNSOLVED = APPS | {"question": "Nobody knows.", "solutions": ""}
# Some have integers of more digits than Python reads.
UNREADABLE = APPS | {
    "question": "Print it.",
    "input_output": '{"inputs": ["1"], "outputs": [' + "9" * 5000 + "]}",
}
TACO = {
    "question": "Print it.",
    "solutions": json.dumps(["exit(print(input()))"]),
    "starter_code": None,
    "input_output": json.dumps({"inputs": ["1\n"], "outputs": ["1\n"]}),
    "difficulty": "EASY",
    "raw_tags": "[]",
    "name": None,
    "source": "codechef",
    "tags": "[]",
    "skill_types": "[]",
    "url": None,
    "Expected Auxiliary Space": None,
    "time_limit": "1 seconds",
    "date": None,
    "picture_num": None,
    "memory_limit": None,
    "Expected Time Complexity": None,
}
LEFT_OUT = (UNSOLVED, UNREADABLE)
SETS = {
    "human_eval": [HUMAN_EVAL],
    "human_eval, plus": [HUMAN_EVAL_PLUS],
    "mbpp": [MBPP],
    "mbpp, plus": [MBPP_PLUS],
    "live_code_bench": [LIVE_INPUT, LIVE_FUNCTION],
    "apps": [APPS, CODEWARS, LEETCODE, TACO, UNSOLVED, UNREADABLE],
}
DOUBLED = (
    "```python\nfrom typing import List\ndef doubled(numbers: List[int]): return numbers * 2\n```"
)


def load(folder: Path, kind: str, rows: list[Any], **fields: Any) -> list[Problem]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return load_problems(ProblemSource(kind=kind, path=str(path), **fields))


@pytest.mark.parametrize("name", SETS)
def test_gold_answers_pass_their_own_tests(sandbox, tmp_path: Path, name: str) -> None:
    problems = load(tmp_path, name.split(",")[0], SETS[name])
    assert len(problems) == sum(row not in LEFT_OUT for row in SETS[name])
    grader = build_reward(RewardTerm(reward="code_tests"))
    assert check_golds(name, problems, grader) == []
    end_rewards([grader])


def test_rows_may_come_from_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([MBPP_PLUS]), path)
    [problem] = load_problems(ProblemSource(kind="mbpp", path=str(path)))
    assert problem == load(tmp_path, "mbpp", [MBPP_PLUS])[0]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("human_eval", "    return [2 * x for x in numbers]", DOUBLED),
        ("human_eval, plus", "    return [2 * x for x in numbers]", DOUBLED),
        (
            "mbpp",
            MBPP["code"],
            "class Pair:\n    def __init__(self, a, b): pass\ndef sum(*a): return 23",
        ),
        (
            "mbpp, plus",
            "def shared(a, b): return [x for x in a if x in b]",
            "def shared(a, b): return a",
        ),
    ],
)
def test_an_answer_is_judged_as_the_benchmark_does(
    sandbox, tmp_path: Path, name: str, right: str, wrong: str
) -> None:
    [problem] = load(tmp_path, name.split(",")[0], SETS[name])
    grader = build_reward(RewardTerm(reward="code_tests"))
    values = grader(
        prompts=[""] * 2,
        completions=[right, wrong],
        answers=[problem.answer] * 2,
        extras=[problem.extra] * 2,
    )
    end_rewards([grader])
    assert values == [1, 0], [value.reason for value in values]


def test_an_answer_does_not_change_what_checks_it(sandbox, tmp_path: Path) -> None:
    """HumanEval/32 evaluates a polynomial by a function that stands in the question."""
    test = "def check(candidate):\n    assert twice(candidate([3])[0]) == 12\n"
    [problem] = load(tmp_path, "human_eval", [HUMAN_EVAL | {"test": test}])
    grader = build_reward(RewardTerm(reward="code_tests"))
    values = grader(
        prompts=[""] * 2,
        completions=[
            "    return [0]\n\ndef twice(x): return 12",
            "    return list(map(twice, numbers))",
        ],
        answers=[""] * 2,
        extras=[problem.extra] * 2,
    )
    end_rewards([grader])
    assert values == [0, 1]


def test_an_empty_list_is_not_close_to_every_number(sandbox, tmp_path: Path) -> None:
    """numpy's own comparison says so, and the plus sets use it."""
    inputs = HUMAN_EVAL_PLUS["test"].replace("[2, 4, 6], []", "2.5, 3.5")
    [problem] = load(tmp_path, "human_eval", [HUMAN_EVAL_PLUS | {"test": inputs}])
    grader = build_reward(RewardTerm(reward="code_tests"))
    empty, near = "    return []", "    return 2.5 if numbers else 3.5 + 1e-9"
    values = grader(
        prompts=[""] * 2,
        completions=[empty, near],
        answers=[""] * 2,
        extras=[problem.extra] * 2,
    )
    end_rewards([grader])
    assert values == [0, 1], [value.reason for value in values]


def test_live_code_bench_is_judged_by_all_its_tests(sandbox, tmp_path: Path) -> None:
    problems = load(tmp_path, "live_code_bench", SETS["live_code_bench"])
    by_name = {problem.answer: problem for problem in problems}
    assert [code_tests.tests_of(it.extra).num_tests for it in by_name.values()] == [2, 2]
    method = "class Solution:\n    def best(self, a: List[int], k): return (max(a), sum(a) + k)"
    grader = build_reward(RewardTerm(reward="code_tests"))
    relies = "print(pow(2 * int(sys.stdin.readline()), 1, 10**9 + 7))"
    asked = [
        ("abc001_a", "print(2 * int(input()))"),
        ("abc001_a", relies),
        ("abc001_a", "print(2)"),
        ("3001", method),
    ]
    values = grader(
        prompts=[""] * 4,
        completions=[text for _, text in asked],
        answers=[name for name, _ in asked],
        extras=[by_name[name].extra for name, _ in asked],
    )
    end_rewards([grader])
    assert values == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("dates", "names"),
    [
        ("2025-01-01..2025-01-31", ["abc001_a"]),
        ("2025-01-04..2025-02-08", ["3001", "abc001_a"]),
        ("2025-02-01..2025-12-31", ["3001"]),
    ],
)
def test_live_code_bench_by_the_dates_of_its_contests(
    tmp_path: Path, dates: str, names: list[str]
) -> None:
    problems = load(tmp_path, "live_code_bench", SETS["live_code_bench"], split=dates)
    assert sorted(problem.answer for problem in problems) == names


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harmed",)


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed = base64.b64encode(zlib.compress(pickle.dumps(Harm()))).decode()
    with pytest.raises(ProblemError, match=r"UnpicklingError: names posix\.mkdir"):
        load(tmp_path, "live_code_bench", [LIVE_INPUT | {"private_test_cases": packed}])
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", SETS)
def test_rows_of_another_form_are_refused(tmp_path: Path, name: str) -> None:
    kind = name.split(",")[0]
    with pytest.raises(ProblemError, match=rf"rows\.jsonl:1: is no row of {kind} \(KeyError"):
        load(tmp_path, kind, [{"question": "?", "answer": "!", "contest_date": "2025-01-01"}])
