"""Overlap between sets of problems."""

import pytest

from relex.errors import ProblemError
from relex.problems import Problem, check_disjoint


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
