"""What a flow run's worker does after it had to kill the flow run's process.

A process that is asked to end closes its MLflow record itself. One that was killed outright cannot,
so the worker does, in the hooks that Prefect calls for a flow run that was cancelled or crashed.
Where the worker died too, the next start of the same recipe does it.
"""

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from relex.config import Recipe
from relex.home import open_home
from tasks.tracking_end import end_unfinished


def record_as_killed(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """A hook of the pipeline: MLflow shows the run, and what of it was running, as KILLED."""
    recipe = Recipe.model_validate(flow_run.parameters["recipe"])
    end_unfinished(recipe.tracking, open_home(), recipe.run_id)
