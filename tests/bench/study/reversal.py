"""The study's second toy: a number written backwards, right only when every digit is.

`38592=` is answered with `29583`. The teacher slips by one at each digit with a chance of 12 %, so
a sampled answer is right half of the time, and what training changes is spread over all tokens of
an answer. The addition toy is of another kind: there it is mostly one choice at the first token.
"""

import json
import random
import sys
from pathlib import Path

from tests.bench.toy_base import build

NUM_DIGITS = 5
SLIP_FRACTION = 0.12
NUM_STEPS = 600
NUM_QUESTIONS = {"train": 2000, "validation": 200, "test": 200}


def teach_reversal(rng: random.Random) -> tuple[str, str]:
    """A question and an answer of the imperfect teacher."""
    digits = draw(rng)
    answer = [
        (digit + rng.choice([-1, 1])) % 10 if rng.random() < SLIP_FRACTION else digit
        for digit in reversed(digits)
    ]
    return question(digits), as_text(answer)


def draw(rng: random.Random) -> list[int]:
    return [rng.randint(0, 9) for _ in range(NUM_DIGITS)]


def as_text(digits: list[int]) -> str:
    return "".join(map(str, digits))


def question(digits: list[int]) -> str:
    return as_text(digits) + "="


def write_problems(folder: Path) -> None:
    """`train.jsonl`, `validation.jsonl` and `test.jsonl`, of different questions."""
    rng = random.Random(0)
    seen: set[str] = set()
    for split, number in NUM_QUESTIONS.items():
        lines = []
        while len(lines) < number:
            digits = draw(rng)
            if question(digits) not in seen:
                seen.add(question(digits))
                row = {"question": question(digits), "answer": as_text(digits[::-1])}
                lines.append(json.dumps(row))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def build_reversal(out: Path) -> None:
    """Problems and base policy in `out` (about three minutes), unless they are there."""
    if (out / "base" / "model.safetensors").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    write_problems(out)
    build(out / "base", teacher=teach_reversal, num_steps=NUM_STEPS)


if __name__ == "__main__":
    build_reversal(Path(sys.argv[1]))
