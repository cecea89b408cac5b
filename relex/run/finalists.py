"""The base, the last trained step and the chosen candidate are measured to report: once on each
test benchmark, and on validation at temperature 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relex.candidates import Candidate
from relex.config import GREEDY, VALIDATION, Recipe
from relex.evaluation import Answer, Asked, correct_matrix
from relex.problems import Problem
from relex.report import (
    BenchmarkResult,
    Costs,
    ShownQuestion,
    benchmark_results,
    shown_answer,
    shown_questions,
    training_cost,
)
from relex.run.measure import Evaluation
from relex.run.places import Run
from relex.run.stage import Tested, stage
from relex.run.window import read_curve
from relex.selection import Decision

AnswersOf = Mapping[Candidate, Sequence[Answer]]


@dataclass(frozen=True)
class Finals:
    """What the report tells of the finalists, and what all answers of the run cost."""

    tests: list[BenchmarkResult]
    greedy: list[BenchmarkResult]
    """On validation, one answer each; empty where the recipe's answers are greedy anyway."""

    shown: tuple[ShownQuestion, ...]
    costs: Costs


def measure_finalists(run: Run, evaluation: Evaluation, decision: Decision) -> Finals:
    """The chosen candidate, the last observed step and the base, once on each test benchmark, and
    once on the validation questions at temperature 0."""
    tests = [benchmark.name for benchmark in run.recipe.problems.test]
    names = [*tests, *({GREEDY} & run.measured_problems.keys())]
    answers: dict[str, dict[Candidate, list[Answer]]] = {name: {} for name in names}
    candidates = dict.fromkeys(decision.finalists.values())
    pairs = [Asked(candidate, name) for name in names for candidate in candidates]
    evaluation.expect(pairs)
    with (
        stage(run, "test", "Testing the choice", len(pairs)) as progress,
        evaluation.told_in(progress),
    ):
        for candidate, name, _ in pairs:
            _, answers[name][candidate] = evaluation.measure(candidate, name)
    run.emit(Tested(decision, answers[tests[0]]))
    results = {name: _results(run, decision, name, given) for name, given in answers.items()}
    return Finals(
        tests=[result for name in tests for result in results[name]],
        greedy=results.get(GREEDY, []),
        shown=_shown(decision, run.problems[tests[0]], answers[tests[0]]),
        costs=_costs(run, evaluation, names),
    )


def _costs(run: Run, evaluation: Evaluation, reported: Sequence[str]) -> Costs:
    recipe, curve, training = run.recipe, read_curve(run), None
    if isinstance(recipe, Recipe):
        per_step = recipe.training.prompts_per_step * recipe.training.completions_per_prompt
        training = training_cost([step.metrics for step in curve], per_step)
    guards = [benchmark.name for benchmark in recipe.problems.guard]
    return Costs(
        device=run.device,
        training=training,
        rollout_seconds=sum(step.metrics.get("rollout_seconds", 0.0) for step in curve),
        num_steps=len(curve),
        choice=evaluation.cost([VALIDATION, *guards]),
        report=evaluation.cost(reported),
    )


def _results(
    run: Run, decision: Decision, benchmark: str, answers: AnswersOf
) -> list[BenchmarkResult]:
    graded = {candidate: correct_matrix(given) for candidate, given in answers.items()}
    config, seed = run.recipe.selection, run.recipe.seed
    return benchmark_results(benchmark, graded, decision.last_observed, config, seed)


def _shown(
    decision: Decision, problems: Sequence[Problem], answers: AnswersOf
) -> tuple[ShownQuestion, ...]:
    first = {
        candidate: {
            answer.question_id: shown_answer(answer.text, answer.correct)
            for answer in given
            if answer.sample == 0
        }
        for candidate, given in answers.items()
    }
    asked = [(problem.id, problem.question, problem.answer) for problem in problems]
    return shown_questions(decision, asked, first)
