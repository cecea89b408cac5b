"""Finds out before training that a reward breaks its contract."""

from collections.abc import Sequence

from relex.problems import Problem
from relex.rewards.contract import Reward

NUM_PROBLEMS = 4
NONSENSE = (
    "",
    " \n\t",
    "\x00\x1b[31m\x7f \u202e\ufffd",
    r"\boxed{",
    r"}}} \frac{}{0} \boxed{}",
    "<think> and no end",
    "word " * 200,
)


def check_reward_contract(rewards: Sequence[Reward], problems: Sequence[Problem]) -> None:
    """Call every reward on gold answers, bare and boxed, and on text that answers nothing.

    Raises RewardError when one of them breaks the contract.
    """
    cases = [
        (problem, completion)
        for problem in problems[:NUM_PROBLEMS]
        for completion in (problem.answer, rf"\boxed{{{problem.answer}}}", *NONSENSE)
    ]
    for reward in rewards:
        reward(
            prompts=[problem.question for problem, _ in cases],
            completions=[completion for _, completion in cases],
            answers=[problem.answer for problem, _ in cases],
        )
