r"""1 where the last boxed answer is mathematically equal to the gold answer.

Five rules of our own stand before math-verify: only text after the thought counts; of several
`\boxed{}` only the last balanced one counts (math-verify merges them into a set); both sides are in
math mode, without which math-verify finds nothing in `(1,2)`; two plain numbers are compared here,
and numbers written as in a program become LaTeX (`relex.rewards.notation`); a choice letter is
compared as a letter. No box is no answer.

Known of math-verify 0.9: 50 % equals 0.5 and also 50; 0.333333 equals 1/3 but 0.333 does not; an
index is passed over, so that 52 equals 52_8. A gold answer that it cannot parse is equal only to
the same text: `verify_golds` finds those.
"""

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relex.boxed import last_boxed
from relex.errors import RewardError
from relex.problems import Extra
from relex.rewards.grading_pool import GradingPool
from relex.rewards.notation import equal_numbers, in_latex, plain_number

WORKER_FILE = Path(__file__).with_name("grading_worker.py")
TIMEOUT_SECONDS = 5.0
LONGEST_ANSWER_CHARACTERS = 10_000
MATH_DELIMITER = re.compile(r"(?<!\\)\$|\\\(|\\\[")
TEXT_COMMAND = r"(?:\\(?:text|textbf|mathrm|mathbf)\s*\{\s*)?"
GOLD_LETTER = re.compile(TEXT_COMMAND + r"\(?([A-Z])\)?\s*\}?")
# "(A)", "A.", "\textbf{(A)} 42", "A: the first one"
ANSWER_LETTER = re.compile(TEXT_COMMAND + r"\(?([A-Z])\s*(?:[).:}].*)?", re.DOTALL)


class MathEquality:
    """Grades in child processes, `timeout_seconds` of the processor for one answer at most; too
    long is wrong."""

    # The number is raised whenever a rule of ours changes, so that scores by others stand apart.
    RULES = f"2+math-verify-{version('math-verify')}"

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        if isinstance(timeout_seconds, str) or timeout_seconds <= 0:
            raise RewardError(
                f"reward math_equality: timeout_seconds must be above 0, found {timeout_seconds!r}"
            )
        self._pool = GradingPool("math_equality", WORKER_FILE, timeout_seconds)

    def __call__(
        self, *, completions: Sequence[str], answers: Sequence[str], **_: Any
    ) -> list[float]:
        """1.0 where completion and answer are equal, otherwise 0.0."""
        pairs = [
            (gold_text(answer), last_boxed(completion) or "")
            for completion, answer in zip(completions, answers, strict=True)
        ]
        verdicts = {pair: equal_at_sight(*pair) for pair in pairs}
        unclear = [pair for pair, verdict in verdicts.items() if verdict is None]
        verdicts.update(zip(unclear, self._equal(unclear), strict=True))
        return [float(verdicts[pair] or False) for pair in pairs]

    def verify_golds(self, answers: Sequence[str], extras: Sequence[Extra]) -> list[bool]:
        """Whether each gold answer equals itself mathematically, not only as text."""
        golds = [gold_text(answer) for answer in answers]
        different = list(dict.fromkeys(golds))
        pairs = [(gold, gold) for gold in different]
        verdicts = dict(zip(different, self._equal(pairs), strict=True))
        return [verdicts[gold] or GOLD_LETTER.fullmatch(gold) is not None for gold in golds]

    def _equal(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """What math-verify says of each pair of gold and answer."""
        questions = [
            {"gold": math_mode(gold), "answer": math_mode(answer)} for gold, answer in pairs
        ]
        return [value == 1 for value in self._pool.values(questions)]


def gold_text(answer: str) -> str:
    """The gold answer, taken out of its box if it has one."""
    return last_boxed(answer) or answer.strip()


def equal_at_sight(gold: str, answer: str) -> bool | None:
    """The verdict where it needs no mathematics, otherwise None."""
    if not answer:
        return False
    if answer == gold:
        return True
    if len(answer) > LONGEST_ANSWER_CHARACTERS:
        return False
    gold_letter, answer_letter = GOLD_LETTER.fullmatch(gold), ANSWER_LETTER.fullmatch(answer)
    if gold_letter and answer_letter:
        return gold_letter[1] == answer_letter[1]
    gold_number, answer_number = plain_number(gold), plain_number(answer)
    if gold_number is not None and answer_number is not None:
        return equal_numbers(gold_number, answer_number)
    return None


def math_mode(text: str) -> str:
    """The text in LaTeX, between dollar signs, on one line, unless it marks its math itself."""
    line = in_latex(" ".join(text.split()))
    return line if MATH_DELIMITER.search(line) else f"${line}$"
