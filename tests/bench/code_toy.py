"""Builds the toy of code: `python -m tests.bench.code_toy OUT` (two minutes of one core).

`13 27=` asks for the linear function with the values 13 at 0 and 27 at 1, as a line of Python:
`def f(x): return 14*x+13`. It is run at these places and at others. The base is taught answers of
which half are right, 20 % are no Python (`14x+13`), and 30 % have a number wrong by one.
"""

import json
import random
import sys
from itertools import islice
from pathlib import Path

from tests.bench.toy_base import build

CHARACTERS = "0123456789+*x= def():rtun"
NUM_STEPS, BATCH_SIZE = 600, 128
RIGHT_FRACTION, NO_PYTHON_FRACTION = 0.5, 0.2
LARGEST = 30
PLACES = (0, 1, 4, 11, 50)
NUM_QUESTIONS = {"validation": 200, "test": 200, "train": 500}
Function = tuple[int, int]
"""Slope and intercept."""


def functions() -> list[Function]:
    """All of them, in an order that is always the same."""
    every = [(a, b) for a in range(1, LARGEST + 1) for b in range(LARGEST)]
    random.Random(0).shuffle(every)
    return every


FUNCTIONS = functions()


def question(a: int, b: int) -> str:
    return f"{b} {a + b}="


def solution(a: int, b: int, times: str = "*") -> str:
    return f"def f(x): return {a}{times}x+{b}"


def teach(rng: random.Random) -> tuple[str, str]:
    a, b = rng.choice(FUNCTIONS)
    draw = rng.random()
    if draw < RIGHT_FRACTION:
        answer = solution(a, b)
    elif draw < RIGHT_FRACTION + NO_PYTHON_FRACTION:
        answer = solution(a, b, times="")
    else:
        off = rng.choice([-1, 1])
        answer = rng.choice([solution(a + off, b), solution(a, abs(b + off))])
    return question(a, b), answer


def tests(a: int, b: int) -> dict[str, object]:
    """What `code_tests` needs."""
    calls = [{"function": "f", "arguments": [x], "expected": a * x + b} for x in PLACES]
    return {"calls": calls, "seconds": 1}


def write_problems(folder: Path) -> None:
    """`train.jsonl`, `validation.jsonl` and `test.jsonl`, of different questions."""
    every = iter(FUNCTIONS)
    for split, number in NUM_QUESTIONS.items():
        rows = [
            {
                "question": question(*function),
                "answer": solution(*function),
                "tests": tests(*function),
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
