"""The choice, made once and kept."""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.rewards import grader_version
from relex.selection import Decision, Measured, decide
from tasks.progress import say
from tasks.run import VALIDATION, Run

DECISION_FILE = "decision.json"


@task(task_run_name="choose", cache_policy=NO_CACHE)
def choose(run: Run, measured: Sequence[Measured]) -> Decision:
    """Compare the candidates on validation and keep the decision in the run's folder."""
    grader = grader_version(run.recipe.exam(VALIDATION).grader)
    decided = decide(measured, run.recipe.selection, run.recipe.seed)
    decision = decided.model_copy(update={"grader": grader})
    run.store.put(DECISION_FILE, decision.model_dump_json(indent=1).encode())
    say(decision.reason)
    return decision
