from pathlib import Path

import numpy as np
import pytest

from relex.errors import StageError
from relex.evaluation import Answer, correct_matrix, read_answers, write_answers


def answer(question_id: str, sample: int, correct: bool, text: str = "7") -> Answer:
    return Answer(
        question_id=question_id,
        sample=sample,
        seed=2**63 - 1,
        text=text,
        finish_reason="stop",
        num_tokens=3,
        value=float(correct),
        correct=correct,
    )


ANSWERS = [answer("a", 0, True), answer("a", 1, False), answer("b", 0, False), answer("b", 1, True)]


def test_answers_survive_the_file_with_any_text(tmp_path: Path) -> None:
    written = [answer("a", 0, True, 'x\n\r\u2028 "q" \\ \x00 \u221a')]
    write_answers(tmp_path / "answers.jsonl", written)
    assert read_answers(tmp_path / "answers.jsonl") == written


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write_answers(path, ANSWERS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StageError, match=r"answers.jsonl, line 4: damaged"):
        read_answers(path)


def test_missing_answers_are_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"answers.jsonl: cannot be read"):
        read_answers(tmp_path / "answers.jsonl")


def test_the_matrix_does_not_depend_on_the_order_of_the_answers() -> None:
    expected = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(correct_matrix(ANSWERS), expected)
    np.testing.assert_array_equal(correct_matrix(reversed(ANSWERS)), expected)


def test_a_question_with_a_missing_sample_is_named() -> None:
    with pytest.raises(StageError, match=r"question b: has samples \[1\], others have 2"):
        correct_matrix([*ANSWERS[:2], ANSWERS[3]])
