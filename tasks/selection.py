"""The choice, made once and kept."""

from collections.abc import Sequence
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.rewards import grader_version
from relex.selection import CandidateResult, Decision, Measured, decide_guarded
from tasks.evaluation import Evaluation, measure_guards
from tasks.progress import say
from tasks.run import VALIDATION, Run

DECISION_FILE = "decision.json"


@task(task_run_name="choose", cache_policy=NO_CACHE)
def choose(run: Run, evaluation: Evaluation, measured: Sequence[Measured]) -> Decision:
    """Compare the candidates on validation, guard the choice, and keep the decision."""
    recipe = run.recipe
    measure = partial(measure_guards, run, evaluation)
    decided = decide_guarded(measured, recipe.selection, recipe.seed, measure)
    grader = grader_version(recipe.exam(VALIDATION).grader)
    decision = decided.model_copy(update={"grader": grader})
    run.store.put(DECISION_FILE, decision.model_dump_json(indent=1).encode())
    for result in decision.results:
        _record(run, result)
    say(decision.reason)
    return decision


def _record(run: Run, result: CandidateResult) -> None:
    """Beside the scores in the candidate's MLflow run, what only the comparison tells."""
    child = run.tracker.finished_child(result.candidate.label)
    if child is not None:
        run.tracker.log(metrics_of(result), result.candidate.step, child)


def metrics_of(result: CandidateResult) -> dict[str, float]:
    """The facts of a candidate as MLflow metrics; what is not known has none."""
    metrics = {f"pass_at_{entry.k}": entry.value for entry in result.pass_at}
    metrics |= {f"accuracy_{entry.group}": entry.accuracy for entry in result.by_group}
    metrics |= {f"guard_accuracy_{guard.benchmark}": guard.accuracy for guard in result.guards}
    metrics["red_flags"] = float(len(result.flags))
    if result.habits is not None:
        told = result.habits.model_dump(exclude={"truncated_fraction"}, exclude_none=True)
        metrics |= {name: float(value) for name, value in told.items()}
    if result.to_last_observed is not None:
        test = result.to_last_observed
        metrics |= {"gain": test.difference}
        metrics |= {"gain_low": test.interval.low, "gain_high": test.interval.high}
        metrics |= {"repairs": float(test.repairs), "regressions": float(test.regressions)}
        if result.is_tested:
            metrics["p_value"] = test.p_value
    if result.to_base is not None:
        metrics["repairs_of_base"] = float(result.to_base.repairs)
        metrics["regressions_of_base"] = float(result.to_base.regressions)
    return metrics
