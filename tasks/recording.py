"""What MLflow keeps of the questions and of every candidate that answered them."""

from collections.abc import Mapping, Sequence
from typing import Any

from relex.candidates import BASE, LINE, Candidate
from relex.evaluation import Answer, Score
from relex.problems import Problem, problems_digest
from relex.selection import Decision
from tasks.run import TRAIN, VALIDATION, Run

ANSWER_TABLE, FINALIST_TABLE = "answers.json", "test_answers.json"
MOST_ROWS = 200
Row = dict[str, Any]


def record_questions(run: Run) -> None:
    """The sets of questions as inputs of the run."""
    config = run.recipe.problems
    sources = {} if config.train is None else {TRAIN: config.train}
    sources |= {VALIDATION: config.validation}
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
    for curve in curves_of(candidate, run.window_steps[-1]):
        run.tracker.log({curve: score.accuracy}, candidate.step)
    num_all = len(run.problems[VALIDATION])
    params = {
        "kind": candidate.method or candidate.name,
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
    if candidate.method == LINE:
        return ("accuracy/validation", "accuracy/extrapolated")
    if candidate.method:
        return ()
    halves = ("accuracy/validation", "accuracy/trained")
    return (*halves, "accuracy/extrapolated") if candidate.step == last_step else halves


def answer_rows(run: Run, answers: Sequence[Answer]) -> list[Row]:
    """The first answers, one to every question before the second to any: the same questions for
    all candidates, so that MLflow can put candidates side by side."""
    problems = {problem.id: problem for problem in run.problems[VALIDATION]}
    return [
        {
            **_question(problems[answer.question_id]),
            "answer": answer.text,
            "correct": _verdict(answer),
            "tokens": answer.num_tokens,
            "ended": "by itself" if answer.finish_reason == "stop" else "at the token limit",
            "sample": answer.sample,
        }
        for answer in _shown(answers)
    ]


def record_finalists(
    run: Run, decision: Decision, answers_of: Mapping[Candidate, Sequence[Answer]]
) -> None:
    """Base, last trained step and chosen candidate side by side on the first test benchmark."""
    problems = {problem.id: problem for problem in run.problems[run.recipe.problems.test[0].name]}
    columns = {"base": BASE, "last_step": decision.last_observed, "chosen": decision.chosen}
    shown = {name: _shown(answers_of[candidate]) for name, candidate in columns.items()}
    rows = []
    for number, answer in enumerate(shown["chosen"]):
        row = _question(problems[answer.question_id])
        for name, answers in shown.items():
            row |= {name: answers[number].text, f"{name}_correct": _verdict(answers[number])}
        rows.append(row)
    run.tracker.log_table(rows, FINALIST_TABLE, run.tracker.parent)


def _shown(answers: Sequence[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: (answer.sample, answer.question_id))[:MOST_ROWS]


def _question(problem: Problem) -> Row:
    return {"question": problem.question, "gold": problem.answer, "group": problem.group}


def _verdict(answer: Answer) -> str:
    return "yes" if answer.correct else "no"
