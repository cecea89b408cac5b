"""From terms of a recipe to rewards: built in or imported, each with a name of its own."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relex.config import RewardTerm
from relex.errors import RewardError
from relex.rewards import build_reward, build_rewards, grader_version
from relex.safe_name import safe_name

USER_MODULE = """
def shorter(completions, answers, limit=10, **_):
    return [float(len(text) <= limit) for text in completions]

def Shorter(completions, **_):
    return [0.0] * len(completions)

def strict(completions):
    return [0.0] * len(completions)

constant = 3
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "team_rewards.py"
    path.write_text(USER_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "team_rewards", raising=False)
    yield path
    monkeypatch.delitem(sys.modules, "team_rewards", raising=False)


def values(term: RewardTerm, completions: list[str], answers: list[str]) -> list[float]:
    return build_reward(term)(prompts=answers, completions=completions, answers=answers)


def test_exact_match_compares_stripped_text() -> None:
    term = RewardTerm(reward="exact_match")
    assert values(term, [" 7\n", "7.0", "77"], ["7", "7", "7"]) == [1.0, 0.0, 0.0]


def test_a_function_of_the_user_is_imported_with_its_parameters(user_module: Path) -> None:
    term = RewardTerm(reward="team_rewards:shorter", params={"limit": 3})
    assert values(term, ["abc", "abcd"], ["", ""]) == [1.0, 0.0]


def test_two_variants_of_one_function_have_different_names(user_module: Path) -> None:
    terms = [
        RewardTerm(reward="team_rewards:shorter"),
        RewardTerm(reward="team_rewards:shorter", params={"limit": 3}),
        RewardTerm(reward="team_rewards:shorter", params={"limit": 4}),
        RewardTerm(reward="format", params={"pattern": "a+"}),
        RewardTerm(reward="format", params={"pattern": "a*"}),
    ]
    assert len({reward.name for reward in build_rewards(terms)}) == len(terms)


def test_names_are_safe_for_metrics(user_module: Path) -> None:
    terms = [
        RewardTerm(reward="exact_match"),
        RewardTerm(reward="team_rewards:Shorter"),
        RewardTerm(reward="format", params={"pattern": "[^/]+ %"}),
    ]
    names = [reward.name for reward in build_rewards(terms)]
    assert names[:2] == ["exact_match", "team_rewards.Shorter"]
    assert names == [safe_name(name) for name in names]


def test_a_term_has_the_same_name_whatever_stands_beside_it(user_module: Path) -> None:
    term = RewardTerm(reward="team_rewards:shorter", params={"limit": 3}, weight=0.5)
    beside = [RewardTerm(reward="exact_match"), term]
    assert build_rewards([term])[0].name == build_rewards(beside)[1].name


def test_a_term_that_is_there_twice_is_refused() -> None:
    terms = [RewardTerm(reward="exact_match"), RewardTerm(reward="exact_match", weight=2)]
    with pytest.raises(RewardError, match="rewards: exact_match is there twice; merge the weights"):
        build_rewards(terms)


def test_two_functions_that_differ_in_case_are_two(user_module: Path) -> None:
    terms = [RewardTerm(reward=f"team_rewards:{name}") for name in ("shorter", "Shorter")]
    assert len({reward.name for reward in build_rewards(terms)}) == 2


def test_functions_with_names_in_another_script_are_two(user_module: Path) -> None:
    source = "def 短(completions, **_): ...\n长 = 短\n"
    (user_module.parent / "奖励.py").write_text(source, encoding="utf-8")
    terms = [RewardTerm(reward=f"奖励:{name}") for name in "短长"]
    names = [reward.name for reward in build_rewards(terms)]
    assert names == ["奖励.短", "奖励.长"]


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (
            "exactmatch",
            "reward exactmatch: is not built in (exact_match, math_equality, reasoning_gym, "
            "code_tests, code_tests_without_sandbox, format); ",
        ),
        ("no_such_module:f", "module 'no_such_module' does not import (ModuleNotFoundError"),
        ("team_rewards:absent", "module 'team_rewards' has no function 'absent'"),
        ("team_rewards:constant", "module 'team_rewards' has no function 'constant'"),
        ("team_rewards:strict", "define it as f(completions, answers, **_)"),
        (":f", "module '' does not import"),
    ],
)
def test_a_reward_that_cannot_be_built_is_refused(
    user_module: Path, reward: str, message: str
) -> None:
    with pytest.raises(RewardError) as caught:
        build_reward(RewardTerm(reward=reward))
    assert message in str(caught.value) and reward in str(caught.value)


def test_a_module_that_fails_while_importing_is_refused(user_module: Path) -> None:
    user_module.write_text("raise OSError('no such file')")
    with pytest.raises(RewardError, match=r"does not import \(OSError: no such file\)"):
        build_reward(RewardTerm(reward="team_rewards:shorter"))


def test_a_misspelt_parameter_is_refused_even_where_it_would_be_swallowed(
    user_module: Path,
) -> None:
    term = RewardTerm(reward="team_rewards:shorter", params={"limmit": 3})
    with pytest.raises(RewardError, match="team_rewards:shorter: has no parameter named limmit"):
        build_reward(term)


@pytest.mark.parametrize(
    ("reward", "params", "message"),
    [
        ("exact_match", {"strict": True}, "'strict'"),
        ("format", {"pattern": "("}, "pattern '(' is not a regular expression"),
        ("format", {"pattern": 3}, "pattern 3 is not a regular expression"),
        ("math_equality", {"timeout": 3}, "'timeout'"),
        ("math_equality", {"timeout_seconds": 0}, "must be above 0, found 0"),
        ("math_equality", {"timeout_seconds": "5"}, "must be above 0, found '5'"),
    ],
)
def test_wrong_parameters_of_a_built_in_are_refused(
    reward: str, params: dict[str, str | int | float | bool], message: str
) -> None:
    with pytest.raises(RewardError) as caught:
        build_reward(RewardTerm(reward=reward, params=params))
    assert message in str(caught.value) and reward in str(caught.value)


def test_the_version_of_math_equality_names_math_verify() -> None:
    assert re.fullmatch(
        r"math_equality/\d+\+math-verify-\d+\.\d+\.\d+", grader_version("math_equality")
    )


def test_the_version_of_a_function_of_the_user_changes_with_its_source(user_module: Path) -> None:
    before = grader_version("team_rewards:shorter")
    user_module.write_text(USER_MODULE + "\n# changed\n")
    after = grader_version("team_rewards:shorter")
    assert before != after
    assert before.startswith("team_rewards:shorter/")


def test_the_version_of_an_unknown_grader_is_refused() -> None:
    with pytest.raises(RewardError, match="reward nothing: is not built in"):
        grader_version("nothing")
