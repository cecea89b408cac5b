"""Gold answers against themselves, on rows of published problem sets."""

from pathlib import Path

import pytest

from relex.config import ProblemSource, RewardTerm
from relex.errors import ProblemError
from relex.problems import Problem, load_problems
from relex.rewards import CheckedReward, build_reward, check_golds, listed_golds

GOLDEN = Path(__file__).parents[2] / "golden" / "problems"
QUESTION_COLUMNS = {
    "math": "problem",
    "gsm8k": "problem",
    "aime25": "problem",
    "amc": "problem",
    "minerva": "question",
    "olympiadbench": "question",
}
BROKEN = r"x+$ $\dot{x} / \omega"


@pytest.fixture(scope="module")
def math_equality() -> CheckedReward:
    return build_reward(RewardTerm(reward="math_equality"))


def golden(name: str, **fields: str) -> list[Problem]:
    path = str(GOLDEN / f"{name}.jsonl")
    return load_problems(
        ProblemSource.model_validate(
            {"kind": "jsonl", "path": path, "question_column": QUESTION_COLUMNS[name], **fields}
        )
    )


def numbered(golds: list[str]) -> list[Problem]:
    return [Problem(f"question {number}", gold) for number, gold in enumerate(golds)]


@pytest.mark.parametrize("name", ["math", "gsm8k", "aime25", "amc", "olympiadbench"])
def test_golds_of_published_sets_are_understood(name: str, math_equality: CheckedReward) -> None:
    assert check_golds(name, golden(name), math_equality) == []


def test_the_formula_of_minerva_that_its_dollars_break_is_found(
    math_equality: CheckedReward,
) -> None:
    problems = golden("minerva")
    filler = numbered([str(number) for number in range(100)])
    [found] = check_golds("minerva", [*problems, *filler], math_equality)
    assert found.answer.startswith(r"x_{0} \cos (\omega t)+$ $")


@pytest.mark.parametrize("name", QUESTION_COLUMNS)
def test_exact_match_takes_every_gold_for_itself(name: str) -> None:
    reward = build_reward(RewardTerm(reward="exact_match"))
    assert check_golds(name, golden(name), reward) == []


def test_the_boxed_solution_gives_the_answer_of_the_answer_column() -> None:
    boxed = golden("math", answer_column="solution", answer_part="boxed")
    assert boxed == golden("math")


@pytest.mark.parametrize(
    ("name", "answer", "completion"),
    [
        ("minerva", "4.5e33", r"\boxed{4.5 \times 10^{33}}"),
        ("minerva", "np.arcsin(10/13)", r"\boxed{\arcsin \frac{10}{13}}"),
        ("minerva", "2.7778e-6", r"\boxed{2.7778 \cdot 10^{-6}}"),
        ("olympiadbench", "$69$,$84$", r"\boxed{84, 69}"),
        ("olympiadbench", r"$\frac{1}{2 n+2}$", r"\boxed{\frac{1}{2(n+1)}}"),
        ("olympiadbench", "$k=1$", r"\boxed{1}"),
        ("math", r"\left( 3, \frac{\pi}{2} \right)", r"\boxed{(3, \pi/2)}"),
        ("math", "p - q", r"\boxed{-q + p}"),
        ("math", r"90^\circ", r"\boxed{90}"),
        ("math", "3, 5, 7", r"\boxed{7, 5, 3}"),
        ("gsm8k", "2,125", r"\boxed{2125}"),
        ("aime25", r"336^\circ", r"\boxed{336}"),
        ("amc", "-1", r"\boxed{-1.0}"),
    ],
)
def test_a_right_answer_in_another_form_is_found(
    name: str, answer: str, completion: str, math_equality: CheckedReward
) -> None:
    assert answer in {problem.answer for problem in golden(name)}
    verdict = math_equality(prompts=[""], completions=[completion], answers=[answer])
    assert verdict == [1.0]


def test_one_percent_of_broken_golds_is_listed(math_equality: CheckedReward) -> None:
    problems = numbered([str(number) for number in range(99)] + [BROKEN])
    doubtful = check_golds("mine", problems, math_equality)
    assert doubtful == [problems[-1]]
    assert listed_golds(doubtful) == f"{BROKEN!r} ({problems[-1].id})"


def test_more_than_one_percent_is_refused_with_the_golds(math_equality: CheckedReward) -> None:
    problems = numbered(["7"] * 98 + [BROKEN, BROKEN + "x"])
    with pytest.raises(ProblemError) as caught:
        check_golds("mine", problems, math_equality)
    assert str(caught.value).startswith(
        "mine: math_equality does not take 2 of 100 gold answers for themselves, for example "
    )
    assert repr(BROKEN) in str(caught.value)
    ids = ", ".join(problem.id for problem in problems[-2:])
    assert str(caught.value).endswith(f"or leave them out, without: [{ids}]")


def test_a_function_of_the_users_may_want_more_than_the_answer() -> None:
    never = CheckedReward("never", lambda completions, **_: [0.0] * len(completions))
    assert check_golds("mine", numbered(["1", "2", "3"]), never) == []


def test_a_choice_letter_is_understood(math_equality: CheckedReward) -> None:
    assert check_golds("choices", numbered(["A", "(B)", r"\text{C}"]), math_equality) == []


@pytest.mark.slow
def test_five_thousand_different_golds_are_checked(
    math_equality: CheckedReward,
) -> None:
    golds = [problem.answer for name in ("math", "amc", "gsm8k") for problem in golden(name)]
    golds = [f"{golds[number % len(golds)]} + {number}" for number in range(5000)]
    doubtful = check_golds("many", numbered(golds), math_equality)
    assert doubtful == []
