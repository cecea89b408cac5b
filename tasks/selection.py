"""The choice, made once and kept."""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.selection import Decision, Measured, decide
from tasks.progress import say
from tasks.run import Run

DECISION_FILE = "decision.json"


@task(task_run_name="choose", cache_policy=NO_CACHE)
def choose(run: Run, measured: Sequence[Measured]) -> Decision:
    """Compare the candidates on validation and keep the decision in the run's folder."""
    decision = decide(measured, run.recipe.selection, run.recipe.seed)
    run.store.put(DECISION_FILE, decision.model_dump_json(indent=1).encode())
    say(decision.reason)
    return decision
