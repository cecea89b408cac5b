"""Gold answers that their own grader does not understand, and rewards that break their contract:
found out before training."""

from collections.abc import Sequence
from typing import Any

from relex.errors import ProblemError
from relex.problems import Problem
from relex.rewards.contract import CheckedReward, Reward

LARGEST_FRACTION = 0.01
NUM_EXAMPLES = 10
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


def check_golds(name: str, problems: Sequence[Problem], grader: CheckedReward) -> list[Problem]:
    """The problems of the set `name` whose gold answer is not right when it is the answer.

    A grader of ours with `verify_golds` says which they are. A function of the user's is not asked:
    it may want more of a completion than the answer.

    Raises ProblemError, with up to 10 of them, when they are more than 1 % of the set.
    """
    verdicts = _verdicts(problems, grader)
    wrong = [problem for problem, right in zip(problems, verdicts, strict=True) if not right]
    if len(wrong) > LARGEST_FRACTION * len(problems):
        raise ProblemError(
            f"{name}: {grader.name} does not take {len(wrong)} of {len(problems)} gold answers for "
            f"themselves, for example {listed_golds(wrong)}; correct them, choose another grader, "
            f"answer_column or answer_part, or leave them out, without: [{_ids(wrong)}]"
        )
    return wrong


def listed_golds(problems: Sequence[Problem]) -> str:
    """The gold answers, for a message, each with the id of its question; 10 at most."""
    more = ", ..." if len(problems) > NUM_EXAMPLES else ""
    named = [f"{problem.answer[:80]!r} ({problem.id})" for problem in problems[:NUM_EXAMPLES]]
    return ", ".join(named) + more


def _ids(problems: Sequence[Problem]) -> str:
    return ", ".join(problem.id for problem in problems)


def _verdicts(problems: Sequence[Problem], grader: CheckedReward) -> list[bool]:
    verify = getattr(grader.function, "verify_golds", None)
    if verify is None:
        return [True] * len(problems)
    answers = [problem.answer for problem in problems]
    return list(verify(answers, [problem.extra for problem in problems]))


def hard_batch(problems: Sequence[Problem]) -> dict[str, list[Any]]:
    """What a reward is called with: gold answers, bare and boxed, and text that answers
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
        "extras": [problem.extra for problem, _ in cases],
    }


def check_reward_contract(rewards: Sequence[Reward], problems: Sequence[Problem]) -> None:
    """Call every reward on a `hard_batch`; raises RewardError when one breaks the contract."""
    for reward in rewards:
        reward(**hard_batch(problems))
