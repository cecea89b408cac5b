"""The example of a grader of one's own: it runs as a recipe's does, in a process of its own."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from relex.config import RewardTerm
from relex.rewards import CheckedReward, build_reward, end_rewards, grader_version

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NAME = "published_equality:published_equality"


@pytest.fixture(scope="module")
def grader():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        grader = build_reward(RewardTerm(reward=NAME))
        yield grader
        end_rewards([grader])


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / "published_equality.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def grade(grader: CheckedReward, gold: str, completion: str) -> float:
    return grader(prompts=[""], completions=[completion], answers=[gold])[0]


def test_its_scores_name_the_code_that_graded_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    assert grader_version(NAME).startswith(f"{NAME}/")


@pytest.mark.parametrize("content", ["9^{9^{9^{9}}}", "7" * 100_000, "(" * 4000, "\x00\x1b[31m"])
def test_a_hostile_answer_costs_a_zero_and_the_next_is_graded(
    grader: CheckedReward, content: str
) -> None:
    assert grade(grader, r"\frac{x}{3}", rf"\boxed{{{content}}}") == 0.0
    assert grade(grader, r"\frac{1}{x}", r"\boxed{x^{-1}}") == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("50", "0.5"),
        ("0.5", "50"),
        ("0.5", r"50\%"),
        ("7", "700"),
        ("0.5", "0.50004"),
        ("33.333", r"\frac{100}{3}"),
        ("(1,4.5)", r"(1,\frac{9}{2})"),
        (r"(\frac{3}{5},\frac{8}{3}]", "(0.6,2.66667]"),
        ("[1,2]", "(1,2)"),
        ("{x}", "(x)"),
        ("x=5", "5"),
        ("5", "x=5"),
        ("34x+45y-20z+100=0", "-34x-45y+20z-100=0"),
        (r"\frac{x}{7}+\frac{2}{7}", r"\frac{x+2}{7}"),
        (
            r"\begin{pmatrix}-\frac{7}{4}&-2\\4&\frac{1}{4}\end{pmatrix}",
            r"\begin{pmatrix}-1.75&-2\\4&0.25\end{pmatrix}",
        ),
        ("1,234", "1234"),
        (r"90^\circ", "90"),
        ("5", r"5\text{ miles}"),
        ("1/2", r"\dfrac12"),
        (r"a solution, so \boxed{7}.", "7"),
    ],
)
def test_what_the_published_grader_takes_is_taken(
    grader: CheckedReward, gold: str, answer: str
) -> None:
    assert grade(grader, gold, rf"\boxed{{{answer}}}") == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("0.5", "0.5002"),
        ("33.3", r"\frac{100}{3}"),
        ("2", r"\frac{1+\sqrt5}{2}"),
        ("(1,2)", "(2,1)"),
        ("(1,2)", "(1,2,3)"),
        ("5", "55"),
        ("5", ""),
    ],
)
def test_what_it_refuses_is_refused(grader: CheckedReward, gold: str, answer: str) -> None:
    assert grade(grader, gold, rf"\boxed{{{answer}}}") == 0.0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"first \boxed{3}, then \boxed{7}", "7"),
        (r"\boxed{\frac{1}{2}} and more", r"\frac{1}{2}"),
        (r"\boxed{7", "7"),
        (r"boxed 7$ and more", "7"),
        ("So the answer is 12.", "12"),
        ("3 apples and 1,000 pears", "1000"),
        ("no number", ""),
        ("", ""),
    ],
)
def test_the_answer_is_found_where_the_published_scripts_look(
    example: ModuleType, text: str, answer: str
) -> None:
    assert example.found(text) == answer


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        (r"\left( 3, \tfrac{1}{2} \right)", r"(3,\frac{1}{2})"),
        ("k = 7.00", "7"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        (r"\sqrt2", r"\sqrt{2}"),
        ("3/4", r"\frac{3}{4}"),
        (r"\$ .5", "0.5"),
        ("1+2j", "1+2i"),
        (r"864 \mbox{ inches}^2", "864^2"),
        ("(0, infinity)", r"(0,\infty)"),
    ],
)
def test_what_does_not_count_is_taken_off(example: ModuleType, answer: str, normal: str) -> None:
    assert example.normal_form(answer) == normal
