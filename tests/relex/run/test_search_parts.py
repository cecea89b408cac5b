"""Only answers that are not known yet are asked for."""

from relex.candidates import BASE, Candidate
from relex.evaluation import Answer, Asked, Score
from relex.run.conclude import PartBook

SAMPLES = 2


class Parts:
    """Answers by number: question n is right when n is even."""

    def __init__(self) -> None:
        self.asked: list[tuple[Candidate, range]] = []

    def expect(self, asked: list[Asked]) -> None:
        self.expected = asked

    def measure(
        self, candidate: Candidate, benchmark: str, questions: range
    ) -> tuple[Score, list[Answer]]:
        self.asked.append((candidate, questions))
        answers = [
            Answer(
                question_id=f"{number:04d}",
                sample=sample,
                seed=number,
                text="",
                finish_reason="stop",
                num_tokens=3,
                value=float(number % 2 == 0),
                correct=number % 2 == 0,
            )
            for number in questions
            for sample in range(SAMPLES)
        ]
        score = Score(
            candidate=candidate,
            benchmark=benchmark,
            grader="exact_match/1",
            engine="none",
            dtype="float32",
            num_questions=len(questions),
            samples_per_question=SAMPLES,
            accuracy=sum(answer.correct for answer in answers) / len(answers),
            truncated_fraction=0.0,
            mean_completion_tokens=3.0,
            generation_seconds=1.0,
            swap_seconds=0.5,
        )
        return score, answers


def test_more_questions_ask_only_for_those_that_are_missing() -> None:
    parts = Parts()
    book = PartBook(parts)
    first = book.measure(BASE, 5)
    more = book.measure(BASE, 12)
    again = book.measure(BASE, 12)
    assert parts.asked == [(BASE, range(5)), (BASE, range(5, 12))]
    assert (more.correct_QK[:5] == first.correct_QK).all()
    assert (again.correct_QK == more.correct_QK).all()
    assert more.num_tokens == 12 * SAMPLES * 3


def test_the_score_is_that_of_all_parts() -> None:
    book = PartBook(Parts())
    book.measure(BASE, 5)
    graded = book.measure(BASE, 12)
    score = book.score(BASE)
    assert score.num_questions == 12
    assert abs(score.accuracy - graded.correct_QK.mean()) < 1e-12
    assert (score.generation_seconds, score.swap_seconds) == (2.0, 1.0)


def test_what_is_expected_is_what_is_missing() -> None:
    parts, last = Parts(), Candidate(step=3)
    book = PartBook(parts)
    book.measure(BASE, 5)
    book.expect([(BASE, 12), (last, 5), (BASE, 4)])
    assert parts.expected == [
        Asked(BASE, "validation", range(5, 12)),
        Asked(last, "validation", range(5)),
    ]
