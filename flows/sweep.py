"""A sweep: reward variants, each trained with the same seeds, and which of them won."""

from collections.abc import Sequence
from typing import Annotated

from prefect import flow

from flows.pipeline import relex_pipeline
from relex.config import SweepConfig
from relex.errors import InputError, StageError
from relex.sweep import Leaderboard, Trial, sweep_id
from tasks.flow_run import concluded, heed_operator, name_sweep, refused, sweep_name
from tasks.form import asks_sweep
from tasks.page import say
from tasks.sweep import FINISHED, Ending, collect, ending_of_error, missing_trials, plan
from tasks.sweep_pool import cancel_trials, run_on_pool
from tasks.sweep_results import build_leaderboard, publish_leaderboard


@flow(name="reward-sweep", flow_run_name=sweep_name, on_cancellation=[cancel_trials])
def reward_sweep(sweep: Annotated[SweepConfig, asks_sweep()]) -> Leaderboard:
    """Train a policy on every reward with every seed, and rank the rewards by what that gave.

    Each trial is a pipeline run. All are judged on the questions of the base recipe by its grader.
    A trial that fails does not stop the others. The same sweep goes on with what is missing.
    """
    try:
        heed_operator()
        trials = plan(sweep)
    except InputError as error:
        return refused(error, Leaderboard)
    name_sweep(sweep.name, sweep_id(sweep, trials))
    missing = missing_trials(trials)
    run = run_inline if sweep.mode == "inline" else run_on_pool
    endings = run(missing) if missing else {}
    leaderboard = build_leaderboard(sweep, trials, collect(trials, endings))
    publish_leaderboard(sweep, trials, leaderboard)
    if not any(variant.num_finished for variant in leaderboard.variants):
        raise StageError(f"sweep {sweep.name}: {' '.join(leaderboard.verdict.splitlines())}")
    return concluded(leaderboard, leaderboard.verdict, leaderboard.is_harmful)


def run_inline(trials: Sequence[Trial]) -> dict[str, Ending]:
    """Run the trials one after the other in this process; how each ended, by run id."""
    endings: dict[str, Ending] = {}
    for number, trial in enumerate(trials, start=1):
        say(f"trial {number} of {len(trials)}: {trial.label}")
        ending = FINISHED
        try:
            relex_pipeline(recipe=trial.recipe)
        except Exception as error:
            ending = ending_of_error(error)
            say(f"{trial.label} {ending.status}: {ending.reason}")
        endings[trial.recipe.run_id] = ending
    return endings
