r"""1 by the conventions of the paper's published grader, to compare with its numbers.

In words of our own, after scripts/grader.py of weizhepei/RELEX. Two numbers are equal within a
relative 1e-4, and also when one is a hundred times the other (percent); brackets and braces do not
count when the rest is the same text; tuples, intervals and matrices are compared by their entries;
equations by the difference of their sides, up to its sign; the rest as expressions.

It differs in four points. Expressions are compared by math-verify instead of sympy's parsers. The
gold answer is always brought to the normal form, there only that of MATH. 2516_8 is a number in
base 8, not the 25168 that Python reads. Anything may be written in a completion: what cannot be
read or takes too long is wrong.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from math import isclose, isfinite

from relex.errors import RewardError
from relex.rewards.grading_pool import GradingPool
from relex.rewards.math_equality import LONGEST_ANSWER_CHARACTERS, math_mode
from relex.rewards.published_answers import normal_form, published_answer

TIMEOUT_SECONDS = 1.0
TOLERANCE = 1e-4
MATRIX = re.compile(r"\\begin\{([pb]matrix)\}(.*)\\end\{[pb]matrix\}", re.DOTALL)
BRACKETS = str.maketrans("", "", "{}()")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")


class PublishedEquality:
    """An answer takes at most twice `timeout_seconds` of the processor; too long is wrong."""

    RULES = f"1+math-verify-{version('math-verify')}"

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        if isinstance(timeout_seconds, str) or timeout_seconds <= 0:
            raise RewardError(
                "reward published_equality: timeout_seconds must be above 0, found "
                f"{timeout_seconds!r}"
            )
        self._timeout_seconds = timeout_seconds
        self._pool = GradingPool(timeout_seconds, TOLERANCE)

    def __call__(
        self, *, prompts: Sequence[str], completions: Sequence[str], answers: Sequence[str]
    ) -> list[float]:
        """1.0 where completion and answer are equal, otherwise 0.0."""
        pairs = [
            (_gold(answer), published_answer(completion))
            for completion, answer in zip(completions, answers, strict=True)
        ]
        with ThreadPoolExecutor(self._pool.num_workers) as threads:
            verdicts = dict(zip(pairs, threads.map(self._judge, pairs), strict=True))
        return [float(verdicts[pair]) for pair in pairs]

    def verify_golds(self, answers: Sequence[str]) -> list[bool]:
        """Whether each gold answer is right when it is the answer, bare or in a box."""
        boxed = [rf"\boxed{{{answer}}}" for answer in answers]
        values = (
            self(prompts=answers, completions=texts, answers=answers) for texts in (answers, boxed)
        )
        return [1.0 in pair for pair in zip(*values, strict=True)]

    def _judge(self, pair: tuple[str, str]) -> bool:
        gold, answer = pair
        if len(answer) > LONGEST_ANSWER_CHARACTERS:
            return False
        return _Comparison(self._pool, self._timeout_seconds).equal(gold, answer)


class _Comparison:
    """One answer, with the time that is left for it."""

    def __init__(self, pool: GradingPool, seconds_left: float) -> None:
        self._pool, self._seconds_left = pool, seconds_left

    def equal(self, gold: str, answer: str) -> bool:
        gold, answer = gold.strip(), answer.strip()
        if gold == answer:
            return True
        numbers = as_number(gold), as_number(answer)
        if numbers[0] is not None and numbers[1] is not None:
            return close_in_percent(numbers[0], numbers[1])
        if not answer:
            return False
        return (
            same_without_brackets(gold, answer)
            or self._equal_entries(gold, answer)
            or self._equal_equations(gold, answer)
            or self._equal_expressions(gold, answer)
        )

    def _equal_entries(self, gold: str, answer: str) -> bool:
        golds, answers = entries(gold), entries(answer)
        return len(golds) == len(answers) > 0 and all(map(self.equal, golds, answers))

    def _equal_equations(self, gold: str, answer: str) -> bool:
        golds, answers = gold.split("="), answer.split("=")
        if len(golds) == len(answers) == 2:
            difference = _difference(answers)
            return any(
                self._equal_expressions(_difference(golds), each)
                for each in (difference, f"-({difference})")
            )
        if len(answers) == 2 and len(golds) == 1 and len(answers[0].strip()) <= 2:
            return self.equal(gold, answers[1])
        if len(golds) == 2 and len(answers) == 1 and len(golds[0].strip()) <= 2:
            return self.equal(golds[1], answer)
        return False

    def _equal_expressions(self, gold: str, answer: str) -> bool:
        if self._seconds_left <= 0:
            return False
        verdict = self._pool.judge((math_mode(gold), math_mode(answer)))
        self._seconds_left -= verdict.seconds
        return verdict.equal


def as_number(text: str) -> float | None:
    """The number that a text is, `50%` as 0.5, thousands with commas; None for anything else."""
    digits = text.replace(",", "")
    bare = digits.removesuffix("%").removesuffix("\\")
    if not NUMBER.fullmatch(bare):
        return None
    value = float(bare) / (1 if bare == digits else 100)
    return value if isfinite(value) else None


def close_in_percent(gold: float, answer: float) -> bool:
    """Whether the answer is close to the gold number, a hundredth or a hundred times of it."""
    return any(isclose(each, answer, rel_tol=TOLERANCE) for each in (gold / 100, gold, gold * 100))


def same_without_brackets(gold: str, answer: str) -> bool:
    """Whether both are the same letters when brackets, braces and case do not count."""
    square = answer[:1] == "[" and answer[-1:] == "]" and gold[:1] != "("
    round_ = answer[:1] == "(" and answer[-1:] == ")" and gold[:1] != "["
    if square or round_:
        gold, answer = gold.strip("[]()"), answer.strip("[]()")
    return gold.translate(BRACKETS).lower() == answer.translate(BRACKETS).lower()


def entries(text: str) -> list[str]:
    """The entries of a tuple, an interval or a matrix, row by row; none for anything else."""
    matrix = MATRIX.fullmatch(text)
    if matrix:
        return [entry for row in matrix[2].split(r"\\") if row for entry in row.split("&")]
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]" and "," in text:
        return text[1:-1].split(",")
    return []


def _gold(answer: str) -> str:
    return published_answer(answer) if "boxed" in answer else normal_form(answer)


def _difference(sides: Sequence[str]) -> str:
    return f"{sides[0].strip()} - ({sides[1].strip()})"
