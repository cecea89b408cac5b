"""What a task of reasoning-gym itself gives an answer: 1 for a right one, less for one in part.

The answer is what stands in the last `<answer>` of the text after the thought, else in its last
box, else the whole text.
"""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from relex.boxed import final_text, last_boxed
from relex.errors import RewardError
from relex.problems import Extra
from relex.problems.gym import NEEDED, WORKER_FILE, is_installed
from relex.rewards.contract import CORRECT
from relex.rewards.grading_pool import GradingPool

TIMEOUT_SECONDS = 5.0
LONGEST_ANSWER_CHARACTERS = 10_000
TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)


def _version() -> str:
    try:
        return version("reasoning-gym")
    except PackageNotFoundError:
        return "none"


class ReasoningGym:
    """Scores in child processes, `timeout_seconds` of the processor for one answer at most; too
    long is worth nothing."""

    # The number is raised whenever a rule of ours changes, so that scores by others stand apart.
    RULES = f"1+reasoning-gym-{_version()}"

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Raises RewardError where reasoning-gym is not installed."""
        if not is_installed():
            raise RewardError(f"reward reasoning_gym: {NEEDED}")
        self._pool = GradingPool("reasoning_gym", WORKER_FILE, timeout_seconds)

    def __call__(
        self, *, completions: Sequence[str], extras: Sequence[Extra], **_: Any
    ) -> list[float]:
        """What each is worth to its task. Raises RewardError for problems of another source."""
        answers = map(answer_of, completions)
        return self._pool.values([_asked(*pair) for pair in zip(answers, extras, strict=True)])

    def verify_golds(self, answers: Sequence[str], extras: Sequence[Extra]) -> list[bool]:
        """Whether each gold answer is right to its task, where the task gives one."""
        pairs = zip(answers, extras, strict=True)
        values = self._pool.values([_asked(*pair) for pair in pairs])
        return [
            value == CORRECT or ["answer", None] in extra["entry"]["dict"]
            for value, extra in zip(values, extras, strict=True)
        ]


def answer_of(completion: str) -> str:
    """The part of a completion that is the answer."""
    text = final_text(completion)
    tagged = TAGGED.findall(text)
    return (tagged[-1] if tagged else last_boxed(text) or text).strip()


def _asked(answer: str, extra: Extra) -> dict[str, Any]:
    if "entry" not in extra:
        raise RewardError(
            "reward reasoning_gym: grades the questions of a source of kind reasoning_gym and no "
            "others; take another grader"
        )
    return {**extra, "answer": answer[:LONGEST_ANSWER_CHARACTERS]}
