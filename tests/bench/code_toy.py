"""Builds the toy of code: `python -m tests.bench.code_toy OUT` (a minute of one core).

`3 5 4=` asks for the linear function with the values 3 at 0 and 5 at 1, as an expression in `x`:
`2*x+3`. It is run at these places, at 4, and at two more. The base is taught answers of which half
are right, 20 % are no Python (`2x+3`), and 30 % have a number wrong by one.
"""

import json
import random
import sys
from itertools import islice
from pathlib import Path

from tests.bench.toy_base import build

CHARACTERS = "0123456789+*x= "
NUM_STEPS, BATCH_SIZE = 300, 128
RIGHT_FRACTION, NO_PYTHON_FRACTION = 0.5, 0.2
NUM_QUESTIONS = {"validation": 100, "test": 100, "train": 520}
Function = tuple[int, int, int]
"""Slope, intercept, and a place at which it is tried."""


def functions() -> list[Function]:
    """All of them, in an order that is always the same."""
    every = [(a, b, x) for a in range(1, 10) for b in range(10) for x in range(2, 10)]
    random.Random(0).shuffle(every)
    return every


FUNCTIONS = functions()


def question(function: Function) -> str:
    a, b, place = function
    return f"{b} {a + b} {place}="


def solution(a: int, b: int) -> str:
    return f"{a}*x+{b}"


def teach(rng: random.Random) -> tuple[str, str]:
    function = rng.choice(FUNCTIONS)
    a, b, _ = function
    draw = rng.random()
    if draw < RIGHT_FRACTION:
        answer = solution(a, b)
    elif draw < RIGHT_FRACTION + NO_PYTHON_FRACTION:
        answer = f"{a}x+{b}"
    else:
        off = rng.choice([-1, 1])
        answer = rng.choice([solution(a + off, b), solution(a, abs(b + off))])
    return question(function), answer


def tests(function: Function) -> dict[str, object]:
    """What `code_tests` needs: the answer is the body of `f`."""
    a, b, place = function
    calls = [
        {"function": "f", "arguments": [x], "expected": a * x + b} for x in (0, 1, place, 11, 50)
    ]
    return {"prefix": "def f(x): return ", "calls": calls, "seconds": 1}


def write_problems(folder: Path) -> None:
    """`train.jsonl`, `validation.jsonl` and `test.jsonl`, of different questions."""
    every = iter(FUNCTIONS)
    for split, number in NUM_QUESTIONS.items():
        rows = [
            {
                "question": question(function),
                "answer": solution(*function[:2]),
                "tests": tests(function),
            }
            for function in islice(every, number)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text)


def build_toy(out: Path) -> None:
    """Problems and base policy in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_problems(out)
    build(
        out / "base",
        teacher=teach,
        num_steps=NUM_STEPS,
        characters=CHARACTERS,
        batch_size=BATCH_SIZE,
    )


if __name__ == "__main__":
    build_toy(Path(sys.argv[1]))
