"""What MLflow keeps of the questions and of every candidate that answered them."""

from collections.abc import Sequence
from typing import Any

from relex.candidates import Candidate
from relex.config import PredictionOptions
from relex.evaluation import Answer, Score
from relex.problems import problems_digest
from tasks.run import TRAIN, VALIDATION, Run

ANSWER_TABLE = "answers.json"
MOST_ROWS = 200


def record_questions(run: Run) -> None:
    """The sets of questions as inputs of the run."""
    config = run.recipe.problems
    sources = {TRAIN: config.train, VALIDATION: config.validation}
    sources |= {benchmark.name: benchmark.source for benchmark in config.benchmarks}
    for name, source in sources.items():
        problems = run.problems[name]
        use = name if name in (TRAIN, VALIDATION) else "test"
        where = source.path.rpartition("/")[2] or source.kind
        title = f"{where} ({source.split})" if source.kind in ("toy", "hub") else where
        content = source.model_dump_json(exclude_defaults=True)
        run.tracker.log_questions(use, title, problems_digest(problems), len(problems), content)


def record(run: Run, score: Score, answers: Sequence[Answer]) -> None:
    """A child run for the candidate, and its point on the accuracy curves of the parent."""
    candidate = score.candidate
    if run.tracker.finished_child(candidate.label) is not None:
        return
    for curve in curves_of(candidate, run.recipe.training.steps):
        run.tracker.log({curve: score.accuracy}, candidate.step)
    num_all = len(run.problems[VALIDATION])
    params = {
        "kind": candidate.kind,
        "step": candidate.step,
        "answered": f"{score.num_questions} of {num_all} questions",
    }
    values = {
        "accuracy": score.accuracy,
        "num_questions": float(score.num_questions),
        "truncated_fraction": score.truncated_fraction,
        "mean_completion_tokens": score.mean_completion_tokens,
    }
    with run.tracker.child(candidate.label, "candidate", params) as child:
        run.tracker.log(values, candidate.step, child)
        run.tracker.log_table(answer_rows(run, answers), ANSWER_TABLE, child)


def curves_of(candidate: Candidate, last_step: int) -> tuple[str, ...]:
    """The parent's curves that a candidate lies on: of the paper's method, without variants.

    The last trained step lies on both halves, so that the line has its beginning.
    """
    if candidate.options != PredictionOptions():
        return ()
    if candidate.kind == "extrapolated":
        return ("accuracy/validation", "accuracy/extrapolated")
    if candidate.kind not in ("base", "observed"):
        return ()
    halves = ("accuracy/validation", "accuracy/trained")
    return (*halves, "accuracy/extrapolated") if candidate.step == last_step else halves


def answer_rows(run: Run, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The first answers, one to every question before the second to any: the same questions for
    all candidates, so that MLflow can put candidates side by side."""
    problems = {problem.id: problem for problem in run.problems[VALIDATION]}
    chosen = sorted(answers, key=lambda answer: (answer.sample, answer.question_id))[:MOST_ROWS]
    return [
        {
            "question": problems[answer.question_id].question,
            "answer": answer.text,
            "gold": problems[answer.question_id].answer,
            "correct": "yes" if answer.correct else "no",
            "tokens": answer.num_tokens,
            "ended": "by itself" if answer.finish_reason == "stop" else "at the token limit",
            "sample": answer.sample,
            "group": problems[answer.question_id].group,
        }
        for answer in chosen
    ]
