"""Overlap between sets of problems."""

import pytest

from relex.errors import ProblemError
from relex.problems import Problem, check_disjoint
from relex.problems.problem import comparable_text


def problems(*questions: str) -> list[Problem]:
    return [Problem(question, "0") for question in questions]


def test_disjoint_sets_pass() -> None:
    check_disjoint({"train": problems("a", "b"), "validation": problems("c"), "test": []})


def test_an_overlap_is_refused_with_both_names_and_three_examples() -> None:
    shared = [f"question {index}" for index in range(5)]
    sets = {
        "train": problems("a", *shared),
        "validation": problems("b"),
        "math_500": problems(*shared, "c"),
    }
    with pytest.raises(ProblemError) as caught:
        check_disjoint(sets)
    assert (
        "train and math_500 share 5 question(s), for example "
        "'question 0', 'question 1', 'question 2'; choose other splits"
    ) in str(caught.value)


def test_white_space_does_not_hide_an_overlap() -> None:
    sets = {"validation": problems("what is  1+1?"), "test": problems("what is\n1+1? ")}
    with pytest.raises(ProblemError, match="validation and test share 1"):
        check_disjoint(sets)


def test_long_examples_are_cut() -> None:
    sets = {"train": problems("x" * 5000), "test": problems("x" * 5000)}
    with pytest.raises(ProblemError) as caught:
        check_disjoint(sets)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What is $x^2$?", "what is x^2 ?"),
        (r"Find \(\dfrac{1}{2}\).", r"Find $\frac{1}{2}$."),
        (r"Let \left( 1,\, 2 \right) be", "Let $(1,2)$ be"),
        ("\uff11 + 1 =", "1+1="),
        ("a\n\nb", "a b"),
        (r"\[x = 1\]", "$ x=1 $"),
    ],
)
def test_looks_do_not_hide_an_overlap(first: str, second: str) -> None:
    assert comparable_text(first) == comparable_text(second)
    with pytest.raises(ProblemError, match="validation and test share 1"):
        check_disjoint({"validation": problems(first), "test": problems(second)})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1+1=", "1-1="),
        ("1 1", "11"),
        ("ab c", "a bc"),
        (r"\leftarrow", r"\rightarrow"),
        ("x^2", "x_2"),
        ("2.5", "25"),
    ],
)
def test_what_a_question_says_is_kept(first: str, second: str) -> None:
    check_disjoint({"validation": problems(first), "test": problems(second)})


def test_all_overlaps_are_told_at_once() -> None:
    sets = {"train": problems("a", "b"), "aime": problems("a"), "amc": problems("b", "a")}
    with pytest.raises(ProblemError) as caught:
        check_disjoint(sets)
    message = str(caught.value)
    assert "train and aime share 1" in message
    assert "train and amc share 2" in message
    assert "aime and amc share 1" in message
