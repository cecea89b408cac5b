"""Math equality: the traps of math-verify, and completions that mean harm."""

from collections.abc import Callable
from pathlib import Path

import pytest

from relex.rewards import math_equality
from relex.rewards.math_equality import MathEquality, equal_at_sight, math_mode

Grade = Callable[[str, str], float]


def grade_with(reward: MathEquality) -> Grade:
    """The value of one completion."""
    return lambda gold, completion: reward(prompts=[""], completions=[completion], answers=[gold])[
        0
    ]


@pytest.fixture(scope="module")
def grade() -> Grade:
    return grade_with(MathEquality())


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("7", r"first \boxed{3}, better \boxed{7.0}"),
        ("7", r"<think>\boxed{3}</think> \boxed{7.0}"),
        (r"\frac{1}{2}", r"\boxed{0.5}"),
        ("1/2", r"\boxed{\frac12}"),
        ("$7$", r"\boxed{7.0}"),
        (r"\(7\)", r"\boxed{$7.0$}"),
        (r"so \boxed{7}", r"\boxed{7.0}"),
        ("(1,2)", r"\boxed{(1, 2)}"),
        ("(1,2)", r"\boxed{\left( 1 ,\, 2 \right)}"),
        ("1<x<2", r"\boxed{(1,2)}"),
        (r"\{1, 2\}", r"\boxed{\{2, 1\}}"),
        (r"x^2 + 2x + 1", r"\boxed{(x+1)^2}"),
        (r"\$18.90", r"\boxed{18.9}"),
        ("10,000", r"\boxed{10000}"),
        (r"6 - 5i", r"\boxed{-5i + 6}"),
        (r"\text{Evelyn}", r"\boxed{Evelyn}"),
        (
            r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
            "\\boxed{\\begin{pmatrix}\n1\\\\2\n\\end{pmatrix}}",
        ),
        ("0.333333", r"\boxed{\frac{1}{3}}"),
        ("50\\%", r"\boxed{0.5}"),
        ("50\\%", r"\boxed{50}"),
        ("0.5", r"\boxed{50\%}"),
        ("52_8", r"\boxed{52}"),
        ("4.5e33", r"\boxed{4.5 \times 10^{33}}"),
        (r"2 \times 4.5e33", r"\boxed{9 \cdot 10^{33}}"),
        ("8.7e8", r"\boxed{870000000}"),
        ("1e-5", r"\boxed{10^{-5}}"),
        ("-1./3", r"\boxed{-\frac{1}{3}}"),
        ("np.arcsin(10/13)", r"\boxed{\arcsin(10/13)}"),
    ],
)
def test_equal_answers_are_found(grade: Grade, gold: str, completion: str) -> None:
    assert grade(gold, completion) == 1.0


@pytest.mark.parametrize(
    ("gold", "completion"),
    [
        ("7", r"first \boxed{7}, no: \boxed{3}"),
        ("7", r"<think>\boxed{7}</think> \boxed{3}"),
        ("7", r"<think>\boxed{7}</think> I am not sure"),
        ("7", r"<think> cut off at \boxed{7}"),
        ("7", "7"),
        ("7", r"\boxed{}"),
        ("7", r"\boxed{7"),
        ("7", ""),
        ("(1,2)", r"\boxed{(2,1)}"),
        ("(1,2)", r"\boxed{1<x<2}"),
        ("0.333", r"\boxed{\frac{1}{3}}"),
        (r"\{1, 2\}", r"\boxed{1}"),
        ("4.5e33", r"\boxed{4.5 \times 10^{34}}"),
        ("2.8e-7", r"\boxed{4.9 \times 10^{-7}}"),
        ("1000000", r"\boxed{1000001}"),
    ],
)
def test_other_answers_are_refused(grade: Grade, gold: str, completion: str) -> None:
    assert grade(gold, completion) == 0.0


@pytest.mark.parametrize(
    "answer", ["B", "(B)", "B.", "B)", r"\text{B}", r"\textbf{(B)}", r"\textbf{(B)}\ 42", "B: yes"]
)
def test_a_choice_letter_is_compared_as_a_letter(grade: Grade, answer: str) -> None:
    completion = rf"\boxed{{{answer}}}"
    golds = ("B", "(B)", r"\text{B}", "A")
    assert [grade(gold, completion) for gold in golds] == [1.0, 1.0, 1.0, 0.0]


def test_a_text_that_begins_with_a_letter_is_no_choice() -> None:
    assert equal_at_sight(r"\text{E. coli}", r"\text{E. faecalis}") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", "$7$"),
        ("$7$", "$7$"),
        (r"\(7\)", r"\(7\)"),
        (r"\$18", r"$\$18$"),
        ("a\n b", "$a b$"),
    ],
)
def test_text_is_put_into_math_mode_once(text: str, expected: str) -> None:
    assert math_mode(text) == expected


def test_a_gold_answer_that_cannot_be_parsed_equals_itself_only(grade: Grade) -> None:
    gold = r"x+$ $\dot{x} / \omega"
    assert [grade(gold, rf"\boxed{{{gold}}}"), grade(gold, r"\boxed{x}")] == [1.0, 0.0]


def test_a_batch_keeps_its_order_with_a_hang_in_it() -> None:
    reward = MathEquality(timeout_seconds=1.0)
    contents = [r"\frac{21}{3}", "9^{9^{9^{9}}}", "8", r"\frac{14}{2}", "7.0"] * 20
    completions = [rf"\boxed{{{content}}}" for content in contents]
    values = reward(prompts=completions, completions=completions, answers=["7"] * 100)
    assert values == [1.0, 0.0, 0.0, 1.0, 1.0] * 20


def test_a_batch_that_needs_no_mathematics_starts_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(math_equality, "WORKER_FILE", Path("no such file"))
    reward = MathEquality()
    completions = [r"\boxed{7}", "no box", r"\boxed{}"] * 1000
    values = reward(prompts=completions, completions=completions, answers=["7"] * 3000)
    assert sum(values) == 1000


def test_an_empty_batch_has_no_values() -> None:
    assert MathEquality()(prompts=[], completions=[], answers=[]) == []
