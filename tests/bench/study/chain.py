"""The study's second toy: running sums modulo ten, right only when every step is.

A question `3+8+5+9+2=` is answered with the running sums, `1657`. The teacher slips at each step
with a chance of 15 % and goes on from the slip, so a sampled answer is right half of the time. The
addition toy is another kind: there most of what training changes is one choice at the first token.
"""

import json
import random
import sys
from pathlib import Path

from relex.toy.build import build

NUM_DIGITS = 5
SLIP_FRACTION = 0.15
NUM_QUESTIONS = {"train": 2000, "validation": 200, "test": 200}


def question(digits: tuple[int, ...]) -> str:
    return "+".join(map(str, digits)) + "="


def answer(digits: tuple[int, ...], rng: random.Random | None = None) -> str:
    """The running sums; with `rng` those of the teacher, who slips by one to each side."""
    total, *rest = digits
    sums = ""
    for digit in rest:
        slip = rng is not None and rng.random() < SLIP_FRACTION
        total = (total + digit + (rng.choice([-1, 1]) if slip and rng else 0)) % 10
        sums += str(total)
    return sums


def draw(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.randint(0, 9) for _ in range(NUM_DIGITS))


def teach_chains(rng: random.Random) -> tuple[str, str]:
    digits = draw(rng)
    return question(digits), answer(digits, rng)


def write_problems(folder: Path) -> None:
    """`train.jsonl`, `validation.jsonl` and `test.jsonl`, of different questions."""
    rng = random.Random(0)
    drawn = list(dict.fromkeys(draw(rng) for _ in range(2 * sum(NUM_QUESTIONS.values()))))
    for split, number in NUM_QUESTIONS.items():
        chosen, drawn = drawn[:number], drawn[number:]
        lines = [json.dumps({"question": question(d), "answer": answer(d)}) for d in chosen]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def build_chain(out: Path) -> None:
    """Problems and base policy in `out` (about six minutes on two cores), unless they are there."""
    if (out / "base" / "model.safetensors").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    write_problems(out)
    build(out / "base", teacher=teach_chains)


if __name__ == "__main__":
    build_chain(Path(sys.argv[1]))
