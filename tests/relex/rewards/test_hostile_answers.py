"""Completions that mean harm: each gets a zero, and the grader goes on. How long it takes them is
the limit of the grading processes, whose own tests are in test_grading_pool.py."""

import psutil
import pytest

from relex.rewards.math_equality import MathEquality

TIMEOUT_SECONDS = 0.5
PARENT_BYTES = 100 << 20

CONTENTS = {
    "a tower of exponents": "9^{9^{9^{9}}}",
    "a factorial tower": "(((99!)!)!)!",
    "a tower in a tuple": "(9^{9^{9^{9}}}, 9^{9^{9^{9}}})",
    "a power that fills the memory": "2^{2^{34}} + x",
    "a power of a plain number": "1" + "0" * 300 + "^{" + "9" * 300 + "}",
    "100,000 digits": "7" * 100_000,
    "9,999 digits": "7" * 9_999,
    "a number with a huge exponent": "1e999999999",
    "nested parentheses": "(" * 4000 + "7" + ")" * 4000,
    "nested fractions": r"\frac{1}{" * 900 + "7" + "}" * 900,
    "fractions without end": r"\frac" * 2000,
    "nested roots": r"\sqrt{" * 1000 + "7" + "}" * 1000,
    "1 MB of balanced braces": "{" * 500_000 + "}" * 500_000,
    "1 MB of opening braces": "{" * 1_000_000,
    "1 MB of boxes": r"\boxed{" * 75_000 + "}" * 75_000,
    "1 MB of letters": "x" * 1_000_000,
    "a long sum": "+".join(f"x_{{{n}}}" for n in range(1200)),
    "a long product": r"\prod_{n=1}^{10^{12}} n",
    "a large matrix": r"\begin{pmatrix}" + r"1&2\\" * 900 + r"\end{pmatrix}",
    "many commas": "," * 9_999,
    "many equations": "x=" * 4_999,
    "spaces": " " * 9_990 + ".",
    "control characters": "\x00\x01\x1b[31m\x7f\u202e",
    "lone surrogates": "\ud800\udfff" * 100,
    "line breaks": "\r\n1\n0\n1\n",
    "a file": r"\input{/etc/passwd}",
    "Python": "__import__('os').abort()",
    "division by zero": r"\frac{7}{0}",
    "dollars": "$" * 999,
    "not a number": "nan",
    "infinity": r"\infty",
}
TEXTS = {
    "1 MB of digits": "7" * 1_000_000,
    "1 MB of numbers": "7 " * 500_000,
    "1 MB of commas": "7," * 500_000,
    "1 MB of minus signs": "-" * 1_000_000,
    "1 MB of unfinished boxes": r"\boxed{" * 140_000,
    "1 MB of thoughts": "<think>" * 140_000,
    "1 MB of nothing": "\x00" * 1_000_000,
}


@pytest.fixture(scope="module")
def grader() -> MathEquality:
    return MathEquality(timeout_seconds=TIMEOUT_SECONDS)


def grade(grader: MathEquality, gold: str, completion: str) -> float:
    return grader(prompts=[""], completions=[completion], answers=[gold])[0]


@pytest.mark.parametrize(
    "gold",
    [
        r"\frac{x}{3}",
        pytest.param("8", marks=pytest.mark.slow),
        pytest.param("(1,2)", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_hostile_answer_costs_a_zero_and_the_next_is_graded(
    grader: MathEquality, gold: str, content: str
) -> None:
    assert grade(grader, gold, rf"\boxed{{{content}}}") == 0.0
    # This needs the processes of the grader.
    assert grade(grader, r"\frac{1}{x}", r"\boxed{x^{-1}}") == 1.0


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_text_without_an_answer_costs_a_zero(grader: MathEquality, text: str) -> None:
    assert grade(grader, "8", text) == 0.0


@pytest.mark.slow
def test_hostile_answers_do_not_fill_the_memory(grader: MathEquality) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    completions = [rf"\boxed{{{content}}}" for content in CONTENTS.values()]
    grader(prompts=completions, completions=completions, answers=["8"] * len(completions))
    assert process.memory_info().rss - before < PARENT_BYTES
