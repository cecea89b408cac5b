"""What a worker does after it had to kill the process of a flow run, or found it dead."""

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from relex.home import open_home
from tasks.tracking_end import end_abandoned


def record_as_killed(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """A hook: MLflow shows as KILLED what the process could not end itself."""
    end_abandoned(open_home())
