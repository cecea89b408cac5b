"""reasoning-gym in a process of its own: it makes the questions of a task, and scores answers.

Some tasks draw from sets, so that the seed of hashes (PYTHONHASHSEED) must be fixed. Run as a file:
`python gym_worker.py` makes questions, of what it reads; `python gym_worker.py SECONDS` scores.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from typing import Any

import reasoning_gym
from reasoning_gym.factory import DATASETS

from relex.child_side import child_main, emit
from relex.errors import ProblemError
from relex.grading_side import serve

NO_ANSWER = "-"
"""Where a task has many right answers and gives none."""

UNFIT = {
    "composite": "is made of other tasks; name one of these",
    "game_of_life_halting": "takes every answer for right; choose another",
}
AS_LITERALS = {"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"}
"""Tasks that evaluate an answer as Python, in which they expect a list."""

AS_ARITHMETIC = {
    "countdown",
    "intermediate_integration",
    "polynomial_multiplication",
    "puzzle24",
    "simple_integration",
}
"""Tasks that evaluate an answer with sympy, which knows all that is built into Python."""

FUNCTIONS = re.compile("a?(?:sin|cos|tan)h?|exp|log|ln|sqrt|[aA]bs|pi")
ARITHMETIC = re.compile(r"(?:\w|[\s+\-*/^(),]|\.(?![A-Za-z_]))+", re.ASCII)
WORD = re.compile(r"[A-Za-z_]\w*")
RIGHT = {"task": "chain_sum", "options": "{}", "entry": {"dict": [["answer", "1"]]}, "answer": "1"}


def make(task: str, options: Mapping[str, Any]) -> None:
    """An event for each question: the entry as JSON tells it, and as `score` needs it."""
    if task not in DATASETS or task in UNFIT:
        close = ", ".join(get_close_matches(task, DATASETS, n=5, cutoff=0.4)) or "chain_sum"
        what = UNFIT.get(task, f"is none of its {len(DATASETS)}, such as {close}")
        raise ProblemError(f"question source reasoning_gym: task {task!r} {what}")
    try:
        entries: Iterator[dict[str, Any]] = iter(reasoning_gym.create_dataset(task, **options))
        for entry in entries:
            answer = entry["answer"] if entry["answer"] is not None else NO_ANSWER
            shown = json.loads(json.dumps(entry)) | {"answer": answer}
            emit("question", columns=shown, entry=packed(entry))
    except (AssertionError, TypeError, ValueError) as error:
        names = ", ".join(field.name for field in fields(DATASETS[task][1]))
        raise ProblemError(
            f"question source reasoning_gym: task {task!r} does not take its options ({error}); "
            f"they are {names}"
        ) from error


def score(question: Mapping[str, Any]) -> float:
    """What the task itself gives an answer, 0 to 1; whatever it raises is 0."""
    task, answer = question["task"], question["answer"]
    if task in AS_ARITHMETIC and not is_arithmetic(answer):
        return 0.0
    try:
        scored = _dataset(task, question["options"]).score_answer(
            answer, entry=unpacked(question["entry"])
        )
        return float(scored)
    except Exception:
        return 0.0


@cache
def _dataset(task: str, options: str) -> Any:
    dataset = reasoning_gym.create_dataset(task, **json.loads(options))
    if task in AS_LITERALS:
        # Found before what is built in.
        vars(sys.modules[type(dataset).__module__])["eval"] = ast.literal_eval
    return dataset


def is_arithmetic(text: str) -> bool:
    """Numbers, letters, signs, and functions of mathematics: nothing that reaches further."""
    words = WORD.findall(text)
    return ARITHMETIC.fullmatch(text) is not None and all(
        len(word) == 1 or FUNCTIONS.fullmatch(word) for word in words
    )


def packed(value: Any) -> Any:
    """As JSON, with what JSON does not tell apart: tuples, and keys that are no texts."""
    if isinstance(value, tuple):
        return {"tuple": [packed(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[packed(key), packed(each)] for key, each in value.items()]}
    return [packed(each) for each in value] if isinstance(value, list) else value


def unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(unpacked(each) for each in value["tuple"])
    return {unpacked(key): unpacked(each) for key, each in value["dict"]}


def main() -> None:
    if len(sys.argv) > 1:
        serve(score, RIGHT, float(sys.argv[1]))
    else:
        asked = json.loads(sys.stdin.readline())
        make(asked["task"], asked["options"])


if __name__ == "__main__":
    child_main(main, "reasoning-gym")
