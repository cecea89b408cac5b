"""From graded answers to what the decision takes."""

import numpy as np

from relex.candidates import BASE
from relex.evaluation import Answer, measured_from


def test_rows_and_groups_are_in_the_order_of_the_question_ids():
    answers = [
        Answer(
            question_id=question_id,
            sample=sample,
            seed=0,
            text="7",
            finish_reason="stop",
            num_tokens=sample + 1,
            value=float(correct),
            correct=correct,
        )
        for question_id, row in {"b": (True, False), "a": (False, False), "c": (True, True)}.items()
        for sample, correct in enumerate(row)
    ]
    measured = measured_from(BASE, answers, (), {"a": "hard", "b": "easy"})
    assert np.array_equal(measured.correct_QK, [[False, False], [True, False], [True, True]])
    assert measured.group_Q == ("hard", "easy", "")
    assert measured.habits.correct_tokens == 4 / 3
