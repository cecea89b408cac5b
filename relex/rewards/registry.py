"""From the terms of a recipe to rewards that can be called."""

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from relex.config import RewardTerm
from relex.digests import sha256_file, sha256_json
from relex.errors import RewardError
from relex.plugins import check_defined, check_module
from relex.rewards.contract import CheckedReward
from relex.rewards.exact_match import ExactMatch
from relex.rewards.format import Format
from relex.rewards.math_equality import MathEquality
from relex.rewards.published_equality import PublishedEquality
from relex.safe_name import safe_name

BUILT_INS: dict[str, Callable[..., Callable[..., Any]]] = {
    "exact_match": ExactMatch,
    "math_equality": MathEquality,
    "published_equality": PublishedEquality,
    "format": Format,
}
# Raised whenever a rule of ours changes, so that scores by other rules are not compared.
RULES = {"exact_match": 1, "math_equality": 2, "published_equality": 1, "format": 1}
ON_MATH_VERIFY = ("math_equality", "published_equality")
BATCH = ("prompts", "completions", "answers")
DIGEST_CHARACTERS = 6


def build_reward(term: RewardTerm) -> CheckedReward:
    """The built-in or imported reward of one term, with its parameters.

    Raises RewardError when it does not exist or import, or does not take the parameters.
    """
    if term.reward in BUILT_INS:
        made = BUILT_INS[term.reward]
        _check_params(term, made, ())
        return CheckedReward(_metric_name(term), made(**term.params))
    function = _imported(term.reward)
    _check_params(term, function, BATCH)
    return CheckedReward(_metric_name(term), partial(function, **term.params))


def build_rewards(terms: Sequence[RewardTerm]) -> list[CheckedReward]:
    """The rewards of a recipe in its order; raises RewardError when two have the same name."""
    rewards = [build_reward(term) for term in terms]
    names = [reward.name for reward in rewards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RewardError(
            f"rewards: {', '.join(twice)} is there twice; merge the weights of equal terms"
        )
    return rewards


def grader_version(name: str) -> str:
    """What belongs to every score: the grader, and what decides its verdicts.

    For a built-in that is the version of its rules, and of math-verify where it judges; for a
    function of the user's the digest of its source file. Raises RewardError when it does not exist
    or import.
    """
    if name in BUILT_INS:
        judge = f"+math-verify-{version('math-verify')}" if name in ON_MATH_VERIFY else ""
        return f"{name}/{RULES[name]}{judge}"
    _imported(name)
    file = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    if file is None:
        raise RewardError(f"reward {name}: has no source file, so its version cannot be told")
    return f"{name}/{sha256_file(Path(file))[:DIGEST_CHARACTERS]}"


def reward_name(reference: str) -> str:
    """What a reward is called in files and metrics: `my_rewards.concise`."""
    return safe_name(reference.replace(":", "."))


def _metric_name(term: RewardTerm) -> str:
    """The same term has the same name in every run, so that runs can be compared by it."""
    name = reward_name(term.reward)
    return f"{name}_{sha256_json(term.params)[:DIGEST_CHARACTERS]}" if term.params else name


def _imported(reference: str) -> Callable[..., Any]:
    module_name, separator, function_name = reference.partition(":")
    if not separator:
        raise RewardError(
            f"reward {reference}: is not built in ({', '.join(BUILT_INS)}); "
            "name your own as module:function"
        )
    check_module(reference, module_name)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise RewardError(
            f"reward {reference}: module {module_name!r} does not import "
            f"({type(error).__name__}: {error}); put its folder on PYTHONPATH"
        ) from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        raise RewardError(
            f"reward {reference}: module {module_name!r} has no function {function_name!r}"
        )
    check_defined(reference, function)
    return function


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
