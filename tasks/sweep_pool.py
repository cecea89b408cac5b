"""Trials as flow runs of the pipeline's deployment, on whatever workers serve it.

A trial is started once. Whoever wants it later, a sweep that was started again or a second sweep
with the same trial, waits for the flow run that is there. Two that look at the same moment ask with
the same idempotency key, which the server grants once. A key has the number of the attempt in it,
because the server gives the old flow run for an old key, however that ended.

A run whose process was killed stays Running on the server, and keeps its place in the queue. It is
told by its process, where that was seen on this machine before, within seconds; else by the
automation of `deployments/automations/zombies.yaml`, from its heartbeats.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psutil
from prefect import Flow, State, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run as own_flow_run
from prefect.states import Cancelling, Crashed

from relex.errors import ResourceError
from relex.sweep import Trial
from tasks.page import say
from tasks.sweep import FINISHED, Ending, ending_of_message

PIPELINE = "relex-pipeline/relex-pipeline"
# A flow run that writes its log to its worker crashes at the first line after the worker is gone.
OUTLIVES_WORKER = {"stream_output": False}
POLL_SECONDS = 3.0
MOST_STARTS = 3
"""A run that crashes so often in one sweep is given up."""
POLLS_TO_BE_SURE = 3
"""A worker that lives says itself, some seconds later, how a process ended."""


@dataclass
class Child:
    """A trial's flow run."""

    trial: Trial
    flow_run: FlowRun
    num_starts: int = 1
    was_seen: bool = False
    num_polls_gone: int = 0


@task(task_run_name="run trials", cache_policy=NO_CACHE)
def run_on_pool(trials: Sequence[Trial]) -> dict[str, Ending]:
    """Run the trials to their ends; how each ended, by run id.

    Raises ResourceError when the pipeline has no deployment.
    """
    endings: dict[str, Ending] = {}
    with get_client(sync_client=True) as client:
        children = [Child(trial, _start(client, trial)) for trial in trials]
        while children:
            for child in children:
                ending = _look(client, child)
                if ending is not None:
                    run_id = child.trial.recipe.run_id
                    endings[run_id] = ending
                    say(f"{run_id} {ending.status}{': ' if ending.reason else ''}{ending.reason}")
            children = [child for child in children if child.trial.recipe.run_id not in endings]
            if children:
                time.sleep(POLL_SECONDS)
    return endings


def cancel_trials(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of a cancelled sweep: its trials that have not ended are cancelled too."""
    tags: Any = {"all_": [_tag(flow_run.id)]}
    with get_client(sync_client=True) as client:
        for child in client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags)):
            if child.state is None or not child.state.is_final():
                client.set_flow_run_state(child.id, Cancelling(message="the sweep was cancelled"))


def _look(client: SyncPrefectClient, child: Child) -> Ending | None:
    """How the trial ended, or None while it goes on; a crashed one is started again."""
    child.flow_run = flow_run = client.read_flow_run(child.flow_run.id)
    state = flow_run.state
    assert state is not None
    if state.type == StateType.COMPLETED:
        return FINISHED
    if state.type == StateType.FAILED:
        return ending_of_message(state.message or "")
    if state.type == StateType.CANCELLED:
        return Ending("cancelled", "its flow run was cancelled")
    if state.type == StateType.CRASHED:
        return _start_again(client, child)
    if _is_dead(child):
        why = "its process is gone and nothing else said so"
        client.set_flow_run_state(flow_run.id, Crashed(message=why), force=True)
    return None


def _start_again(client: SyncPrefectClient, child: Child) -> Ending | None:
    state, run_id = child.flow_run.state, child.trial.recipe.run_id
    assert state is not None
    if child.num_starts == MOST_STARTS:
        reason = f"crashed {MOST_STARTS} times, at last: {state.message or 'without a word'}"
        return Ending("failed", " ".join(reason.split()))
    say(f"{run_id} crashed ({state.message}); started again, it goes on where it stood")
    child.flow_run = _start(client, child.trial)
    child.num_starts += 1
    child.was_seen, child.num_polls_gone = False, 0
    return None


def _start(client: SyncPrefectClient, trial: Trial) -> FlowRun:
    """The trial's flow run that goes on, or a new one."""
    run_id, tag = trial.recipe.run_id, _tag(UUID(own_flow_run.id))
    attempts = _attempts(client, run_id)
    for flow_run in attempts:
        if flow_run.state is None or not flow_run.state.is_final():
            client.update_flow_run(flow_run.id, tags={*flow_run.tags, tag})
            say(f"{run_id} is {flow_run.state_name} already; it is waited for")
            return flow_run
    started = run_deployment(
        PIPELINE,
        parameters={"recipe": trial.recipe.model_dump(mode="json")},
        timeout=0,
        flow_run_name=run_id,
        tags=[tag],
        idempotency_key=f"{trial.recipe.digest}-{len(attempts) + 1}",
        job_variables=OUTLIVES_WORKER,
    )
    assert isinstance(started, FlowRun)
    return started


def _attempts(client: SyncPrefectClient, run_id: str) -> list[FlowRun]:
    """All flow runs of the deployment with this trial, the newest first."""
    try:
        deployment = client.read_deployment_by_name(PIPELINE)
    except ObjectNotFound as error:
        raise ResourceError(
            f"{PIPELINE}: this Prefect server has no such deployment; apply the deployments, or "
            "sweep with mode: inline"
        ) from error
    name: Any = {"any_": [run_id]}
    deployment_id: Any = {"any_": [deployment.id]}
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(name=name, deployment_id=deployment_id),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
    )


def _is_dead(child: Child) -> bool:
    """Whether the process of a run that the server takes for pending or running was seen on this
    machine and is gone."""
    flow_run = child.flow_run
    if flow_run.state_type not in (StateType.PENDING, StateType.RUNNING):
        return False
    if is_alive_here(flow_run):
        child.was_seen, child.num_polls_gone = True, 0
        return False
    if child.was_seen:
        child.num_polls_gone += 1
    return child.num_polls_gone >= POLLS_TO_BE_SURE


def is_alive_here(flow_run: FlowRun) -> bool:
    """Whether the run's process is one of this machine.

    Another machine's process may have the number of one of ours; its environment tells them apart.
    """
    try:
        process = psutil.Process(int(flow_run.infrastructure_pid or ""))
        return process.environ().get("PREFECT__FLOW_RUN_ID") == str(flow_run.id)
    except (ValueError, psutil.Error):
        return False


def _tag(sweep_flow_run: UUID) -> str:
    """Marks the children of a sweep's flow run, also those that an earlier one started."""
    return f"sweep-run:{sweep_flow_run}"
