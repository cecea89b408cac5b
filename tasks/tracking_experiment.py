"""The experiment on MLflow's pages: how it opens, what it says first, which columns it shows."""

import json

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

NOTE_TAG = "mlflow.note.content"
WORKFLOW = "workflowType=machine_learning"
"""Without it MLflow opens its pages for prompts and traces, where no run is to be seen."""

VIEW = "relex"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
COLUMNS = (
    *("attributes.`Created`", "attributes.`Duration`", "attributes.`Models`"),
    *("metrics.`test_accuracy`", "metrics.`test_gain`", "metrics.`chosen_accuracy`"),
    *("metrics.`chosen_step`", "metrics.`fit_forecast_skill`"),
    *("params.`reward`", "params.`learning_rate`", "params.`seed`", "params.`steps_trained`"),
    *("params.`base`", "tags.`relex.chosen`", "tags.`relex.sweep`"),
)
"""Of a hundred, those by which runs are told apart and compared."""

HOW_TO_COMPARE = """\
**To compare runs, press the chart button above the list**, and hide runs with the eye beside \
them. Where traces are shown in place of runs, choose *Model training* at the top of the side bar.

A row is a run of the pipeline; its name says reward, learning rate, seed and (recipe). The + \
opens its training and every candidate that was measured. A sweep is a row too; its trials are \
those with its name in the tag `relex.sweep`.

- `accuracy/validation` over the step: base (0), trained steps, then extrapolated targets
- `chosen_...`: the candidate that was published, and what it gains over the last trained step
- `test_accuracy`, `test_gain`: the same on the test questions: the numbers to quote
- `training/...` over the step: reward, accuracy (whatever the reward is), lengths, gradients
- `system/...`: the machine meanwhile

The third button shows what the models wrote, with filters: `test_answers.json` of runs, and \
`answers.json` of candidates. The report is the artifact `report/report.html` of a run.
"""
# Without the kind MLflow guesses, from the first runs, what the experiment is for.
TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    NOTE_TAG: HOW_TO_COMPARE,
    VIEW_TAG: json.dumps({"selectedColumns": COLUMNS}),
}


def open_experiment(client: MlflowClient, name: str, artifacts: str = "") -> str:
    """The id of the experiment, which is made where there is none; its files go to `artifacts`, or
    where the server keeps them."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifacts or None, tags=TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def runs_page(server: str, experiment: str) -> str:
    """The list of the experiment's runs, with the columns of `COLUMNS`."""
    return f"{server}/#/experiments/{experiment}/runs?{WORKFLOW}&viewStateShareKey={VIEW}"


def run_page(server: str, experiment: str, run: str) -> str:
    return f"{server}/#/experiments/{experiment}/runs/{run}?{WORKFLOW}"
