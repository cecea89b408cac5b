"""The pipeline: a short GRPO run, the line through its window, and the best point on it."""

from prefect import flow

from relex.config import Recipe
from relex.extrapolation import open_factors
from relex.report import RunSummary
from tasks.evaluation import measure_finalists, open_evaluation
from tasks.extrapolation import fit
from tasks.killed import record_as_killed
from tasks.preflight import validate
from tasks.publishing import publish
from tasks.reporting import finished_summary, report, summarise
from tasks.retention import tidy
from tasks.run import Run, open_run
from tasks.search import measure_candidates
from tasks.selection import choose
from tasks.training import train


@flow(
    name="relex-pipeline",
    flow_run_name="{recipe.run_id}",
    on_cancellation=[record_as_killed],
    on_crashed=[record_as_killed],
)
def relex_pipeline(recipe: Recipe) -> RunSummary:
    """Train a short window, extrapolate it, measure the candidates, choose and publish the best.

    The same recipe continues the same run: a stage that is done is not run again.
    """
    with open_run(recipe) as run:
        validate(run)
        summary = finished_summary(run) or run_stages(run)
        tidy(run)
    return summary


def run_stages(run: Run) -> RunSummary:
    """From the training to the report."""
    with run.recorded():
        train(run)
        factors = fit(run)
        with open_evaluation(run, factors) as evaluation:
            compared = measure_candidates(run, evaluation)
            decision = choose(run, evaluation, compared.measured)
            tested = measure_finalists(run, evaluation, decision)
        publish(run, factors, decision)
        summary = summarise(run, decision, tested, compared.search)
        report(run, open_factors(factors), summary)
    return summary
