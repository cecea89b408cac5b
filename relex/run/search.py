"""`targets: auto`: candidates are measured where the search wants to know more."""

from collections.abc import Callable
from dataclasses import dataclass

from relex.candidates import Candidate, denoised
from relex.evaluation import Answer, Score, correct_matrix, join_scores
from relex.extrapolation import Diagnosis, diagnose, open_factors
from relex.run.events import CandidateMeasured
from relex.run.measure import Evaluation, measure_listed
from relex.run.places import VALIDATION, Run
from relex.run.stage import stage
from relex.search import Graded, SearchPath, full_grid, search
from relex.selection import Measured

LEAST_SKILL = 0.1
LEAST_COSINE = 0.5
MOST_PARTS_PER_TARGET = 2
MeasurePart = Callable[[Candidate, range], tuple[Score, list[Answer]]]


@dataclass(frozen=True)
class Compared:
    """What the choice is made from; `search` is the way there, None for a list of targets."""

    measured: list[Measured]
    search: SearchPath | None


def measure_candidates(run: Run, evaluation: Evaluation) -> Compared:
    """The candidates of the recipe's list, or of a search for the best target."""
    if run.recipe.extrapolation.targets == "auto":
        return search_candidates(run, evaluation)
    return Compared(measure_listed(run, evaluation), None)


def search_candidates(run: Run, evaluation: Evaluation) -> Compared:
    """Search beyond the window on the validation questions."""
    recipe, num_questions = run.recipe, len(run.problems[VALIDATION])
    *earlier, last_step = run.observed_steps
    config = recipe.extrapolation.search
    book = PartBook(evaluation.measure_part)
    num_parts = MOST_PARTS_PER_TARGET * len(full_grid(last_step, config))
    with (
        stage(run, "validation", "Searching", num_parts) as progress,
        evaluation.told_in(progress),
    ):
        found = search(
            book.measure,
            last_step,
            num_questions,
            config,
            others=[
                *(Candidate(step=step) for step in earlier),
                *(denoised(step) for step in recipe.evaluation.denoised_steps),
            ],
            cautious=forecasts_badly(diagnose(open_factors(evaluation.factors).table).overall),
        )
    for candidate in sorted(found.graded, key=lambda candidate: candidate.step):
        run.emit(CandidateMeasured(book.score(candidate), book.answers(candidate)))
    path = found.path
    run.say(
        f"the search stopped: {path.stopped}; {path.num_tokens:,} tokens, "
        f"{path.token_fraction:.0%} of the full grid"
    )
    # Those that answered few questions count too: each was a try to beat the last observed step.
    measured = [
        evaluation.graded(candidate, VALIDATION, book.answers(candidate))
        for candidate in found.graded
    ]
    return Compared(measured, path)


class PartBook:
    """The answers of candidates to the first questions, measured part by part."""

    def __init__(self, measure_part: MeasurePart) -> None:
        self._measure_part = measure_part
        self._answers: dict[Candidate, list[Answer]] = {}
        self._scores: dict[Candidate, list[Score]] = {}

    def measure(self, candidate: Candidate, num_questions: int) -> Graded:
        """Answers to the first questions in the order of their ids; only new ones are asked."""
        answers = self._answers.setdefault(candidate, [])
        scores = self._scores.setdefault(candidate, [])
        num_known = sum(score.num_questions for score in scores)
        if num_known < num_questions:
            part = range(num_known, num_questions)
            score, new = self._measure_part(candidate, part)
            scores.append(score)
            answers.extend(new)
        correct_QK = correct_matrix(answers)[:num_questions]
        return Graded(correct_QK, sum(answer.num_tokens for answer in answers))

    def answers(self, candidate: Candidate) -> list[Answer]:
        """To all questions that it was asked."""
        return self._answers[candidate]

    def score(self, candidate: Candidate) -> Score:
        """Over all its parts."""
        return join_scores(self._scores[candidate])


def forecasts_badly(overall: Diagnosis) -> bool:
    """Whether the search should begin near: the line forecasts its own window no better than
    staying put, or the second half of the window went another way than the first."""
    skill, cosine = overall.forecast_skill.over_staying, overall.half_cosine
    return (skill is not None and skill < LEAST_SKILL) or (
        cosine is not None and cosine < LEAST_COSINE
    )
