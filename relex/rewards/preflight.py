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


def hard_batch(problems: Sequence[Problem]) -> dict[str, list[str]]:
    """Prompts, completions and answers: gold answers, bare and boxed, and text that answers
    nothing."""
    cases = [
        (problem, completion)
        for problem in problems[:NUM_PROBLEMS]
        for completion in (problem.answer, rf"\boxed{{{problem.answer}}}", *NONSENSE)
    ]
    return {
        "prompts": [problem.question for problem, _ in cases],
        "completions": [completion for _, completion in cases],
        "answers": [problem.answer for problem, _ in cases],
    }


def check_reward_contract(rewards: Sequence[Reward], problems: Sequence[Problem]) -> None:
    """Call every reward on a `hard_batch`; raises RewardError when one breaks the contract."""
    for reward in rewards:
        reward(**hard_batch(problems))
