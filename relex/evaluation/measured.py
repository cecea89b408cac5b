"""From graded answers to what the decision takes."""

from collections.abc import Mapping, Sequence

from relex.candidates import Candidate
from relex.config import RewardTerm
from relex.evaluation.habits import habits_of
from relex.evaluation.results import Answer, correct_matrix
from relex.selection import Measured


def measured_from(
    candidate: Candidate,
    answers: Sequence[Answer],
    rewards: Sequence[RewardTerm],
    group_of: Mapping[str, str],
) -> Measured:
    """From graded answers; `rewards` are the recipe's terms, `group_of` groups by question id.

    Rows are in the order of the question ids. Raises StageError when answers are missing.
    """
    ids = sorted({answer.question_id for answer in answers})
    return Measured(
        candidate,
        correct_matrix(answers),
        habits_of(answers, rewards),
        tuple(group_of.get(question_id, "") for question_id in ids),
    )
