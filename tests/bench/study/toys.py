"""The study's own tasks, each a base policy that errs in its way; the toy's addition is the fourth.

- `reversal`: `38592=` is answered with `29583`. The teacher slips by one at each digit with a
  chance of 12 %. The base is right when it answers greedily: training sharpens it.
- `upside`: the same, but the last digit is one too high in 55 % of the answers. Greedy answers are
  wrong: the task has to be learnt.
- `chain`: `3+4-2+5=` is answered with the sums on the way, `7 5 10`. The teacher gets a sum after a
  minus wrong by one in 60 % of all cases. Only a right last sum with all before it counts, so most
  groups teach little at first, and 30 steps are not enough.
"""

import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from setting import HELD_OUT

from tests.bench.code_toy import build_toy
from tests.bench.toy_base import build

NUM_DIGITS = 5
SLIP_FRACTION = 0.12
TOO_HIGH_FRACTION = 0.55
NUM_TERMS = 4
WRONG_MINUS_FRACTION = 0.60
NUM_QUESTIONS = {"train": 2000, "validation": 200, "test": 200}

Problem = tuple[str, str]
"""A question and its right answer."""


@dataclass(frozen=True)
class Task:
    """What a base is taught, and what it is asked."""

    problem: Callable[[random.Random], Problem]
    teach: Callable[[random.Random], Problem]
    num_steps: int
    """Of supervised training of the base."""


def reversal(rng: random.Random) -> Problem:
    digits = _digits(rng)
    return _text(digits) + "=", _text(digits[::-1])


def teach_reversal(rng: random.Random) -> Problem:
    digits = _digits(rng)
    answer = [
        (digit + rng.choice([-1, 1])) % 10 if rng.random() < SLIP_FRACTION else digit
        for digit in reversed(digits)
    ]
    return _text(digits) + "=", _text(answer)


def teach_upside(rng: random.Random) -> Problem:
    digits = _digits(rng)
    *answer, last = digits[::-1]
    if rng.random() < TOO_HIGH_FRACTION:
        last = (last + 1) % 10
    return _text(digits) + "=", _text([*answer, last])


def chain(rng: random.Random) -> Problem:
    question, sums = _chain(rng, 0.0)
    return question, sums


def teach_chain(rng: random.Random) -> Problem:
    return _chain(rng, WRONG_MINUS_FRACTION)


def _chain(rng: random.Random, wrong_fraction: float) -> Problem:
    total = rng.randint(0, 9)
    question, sums = str(total), []
    for _ in range(NUM_TERMS - 1):
        term = rng.randint(0, 9)
        is_minus = term <= total and rng.random() < 0.5
        total += -term if is_minus else term
        if is_minus and rng.random() < wrong_fraction:
            total += 1
        question += f"{'-' if is_minus else '+'}{term}"
        sums.append(str(total))
    return question + "=", " ".join(sums)


def _digits(rng: random.Random) -> list[int]:
    return [rng.randint(0, 9) for _ in range(NUM_DIGITS)]


def _text(digits: list[int]) -> str:
    return "".join(map(str, digits))


TASKS = {
    "reversal": Task(reversal, teach_reversal, 600),
    "upside": Task(reversal, teach_upside, 300),
    "chain": Task(chain, teach_chain, 900),
}


def write_problems(task: Task, folder: Path) -> None:
    """`train.jsonl`, `validation.jsonl` and `test.jsonl`, of different questions."""
    rng = random.Random(0)
    seen: set[str] = set()
    for split, number in NUM_QUESTIONS.items():
        lines = []
        while len(lines) < number:
            question, answer = task.problem(rng)
            if question not in seen:
                seen.add(question)
                lines.append(json.dumps({"question": question, "answer": answer}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def build_task(name: str, out: Path) -> None:
    """Problems and base policy in `out` (a few minutes), unless they are there."""
    if (out / "base" / "model.safetensors").exists():
        return
    if name == HELD_OUT:
        build_toy(out)
        return
    out.mkdir(parents=True, exist_ok=True)
    write_problems(TASKS[name], out)
    build(out / "base", teacher=TASKS[name].teach, num_steps=TASKS[name].num_steps)


if __name__ == "__main__":
    build_task(sys.argv[1], Path(sys.argv[2]))
