"""From the terms of a recipe to rewards that can be called."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from relex.config import RewardTerm
from relex.config.exam import Exam
from relex.digests import sha256_json
from relex.doors import REWARD
from relex.errors import RewardError
from relex.rewards.code_tests import PassesTests
from relex.rewards.contract import CORRECT, CheckedReward
from relex.rewards.process import RewardProcess
from relex.safe_name import safe_name

REWARD_SECONDS = 300.0
"""A recipe says its own."""
BATCH = ("prompts", "completions", "answers", "extras")
DIGEST_CHARACTERS = 6


def build_reward(term: RewardTerm, limit_seconds: float = REWARD_SECONDS) -> CheckedReward:
    """The built-in or imported reward of one term, with its parameters; one of the user's runs in
    a process of its own, within `limits`.

    Raises RewardError when it does not exist or import, or does not take the parameters.
    """
    name = _metric_name(term)
    if term.reward in REWARD.built_in:
        made = REWARD.load(term.reward)
        _check_params(term, made, ())
        return CheckedReward(name, made(**term.params))
    REWARD.place(term.reward)
    return CheckedReward(name, RewardProcess(name, term, limit_seconds))


def build_rewards(
    terms: Sequence[RewardTerm], limit_seconds: float = REWARD_SECONDS
) -> list[CheckedReward]:
    """The rewards of a recipe in its order; raises RewardError when two have the same name."""
    rewards = [build_reward(term, limit_seconds) for term in terms]
    names = [reward.name for reward in rewards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RewardError(
            f"rewards: {', '.join(twice)} is there twice; merge the weights of equal terms"
        )
    return rewards


def imported_function(term: RewardTerm) -> Callable[..., Any]:
    """The user's function with its parameters. Called in its own process: importing runs code.

    Raises RewardError when it does not import, or does not take the parameters.
    """
    function = REWARD.load(term.reward)
    _check_params(term, function, BATCH)
    return partial(function, **term.params)


def end_rewards(rewards: Sequence[CheckedReward]) -> None:
    """End the processes of the user's rewards, where what they left behind is said and ended too,
    and those of the sandbox."""
    for reward in rewards:
        if isinstance(reward.function, RewardProcess | PassesTests):
            reward.function.close()


def reward_name(reference: str) -> str:
    """What a reward is called in files and metrics: `my_rewards.concise`."""
    return safe_name(reference.replace(":", "."))


def _metric_name(term: RewardTerm) -> str:
    """The same term has the same name in every run, so that runs can be compared by it."""
    name = reward_name(term.reward)
    return f"{name}_{sha256_json(term.params)[:DIGEST_CHARACTERS]}" if term.params else name


def _check_params(term: RewardTerm, function: Callable[..., Any], batch: Sequence[str]) -> None:
    try:
        signature = inspect.signature(function)
        signature.bind(**dict.fromkeys([*batch, *term.params]))
    except (TypeError, ValueError) as error:
        raise RewardError(
            f"reward {term.reward}: cannot be called with {', '.join([*batch, *term.params])} "
            f"({error}); correct params, or define it as f(completions, answers, **_)"
        ) from error
    # A reward of the form f(completions, answers, **_) would swallow a misspelt parameter.
    unknown = [name for name in term.params if name not in signature.parameters]
    if unknown:
        raise RewardError(f"reward {term.reward}: has no parameter named {', '.join(unknown)}")


def graded_by(exam: Exam) -> str:
    """What belongs to every score: `grader_version`, and from which value on an answer is correct
    where that is not 1. Scores are compared only where it is the same."""
    threshold = f" from {exam.correct_from:g}" if exam.correct_from != CORRECT else ""
    return grader_version(exam.grader) + threshold


def grader_version(name: str) -> str:
    """The grader, and what decides its verdicts.

    For a built-in that is its `RULES`; for a function of the user's the digest of its source file.
    Raises RewardError when it does not exist.
    """
    if name in REWARD.built_in:
        made: Any = REWARD.load(name)
        return f"{name}/{made.RULES}"
    return REWARD.own_version(name)
