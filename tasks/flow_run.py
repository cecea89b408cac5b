"""The flow run that we are in: its recipe, its name, and its end when it cannot be run."""

from typing import TypeVar, cast
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed

from relex.config import Recipe, WindowRecipe
from relex.config.addresses import check_environment
from relex.doors.plugins import restrict_plugins
from relex.errors import InputError, RecipeError
from relex.report import Link
from relex.visible import one_line
from tasks.form import recipe_of
from tasks.made_up_names import is_made_up

Result = TypeVar("Result")
REFUSED, HARMFUL = "refused", "Harmful"


def stated_recipe() -> Recipe | WindowRecipe:
    """The recipe that the parameters of this flow run stand for; raises RecipeError."""
    return recipe_of(flow_run.parameters)


def heed_operator() -> None:
    """What comes by way of a deployment, perhaps from a stranger, runs no code but what whoever
    runs the worker allows; a run of a user's own terminal runs what it names.

    Raises InputError when an address in the environment holds credentials.
    """
    if deployment.id is not None:
        restrict_plugins()
    check_environment()


def flow_run_links() -> list[Link]:
    """The page of this flow run; none outside of one."""
    address = flow_run.ui_url
    return [Link(name="Prefect run", address=address)] if address else []


def flow_run_tags() -> dict[str, str]:
    """The same for MLflow."""
    address = flow_run.ui_url
    return {"relex.prefect_run": address} if address else {}


def run_name() -> str:
    """The name that a user typed; else the run id, which is also the name of the run's folder."""
    return _typed_name() or _run_id()


def _run_id() -> str:
    try:
        return stated_recipe().run_id
    except RecipeError:
        return REFUSED


def _typed_name() -> str:
    name = flow_run.name or ""
    return "" if is_made_up(name) else name


def sweep_name() -> str:
    """The name that a user typed, else that of the sweep."""
    return _typed_name() or str(flow_run.parameters["sweep"].name)


def name_sweep(name: str, sweep_id: str) -> None:
    """Call this flow run as the folder of the sweep `name`, unless a user named it otherwise."""
    if flow_run.name == name:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run_id=UUID(flow_run.id), name=sweep_id)


def concluded(result: Result, verdict: str, is_harmful: bool) -> Result:
    """What a flow returns that has come to an end: its page then says the verdict as well, and
    whoever called it gets `result`. One that made the model worse is Completed for everything that
    waits for it, under the name Harmful."""
    name = HARMFUL if is_harmful else None
    return cast(Result, Completed(name=name, message=one_line(verdict), data=result))


def refused(error: InputError, _: type[Result]) -> Result:
    """What a flow returns when what it was given cannot be used.

    Prefect then shows the one line that says why, where a raised error would be logged with its
    traceback; whoever called the flow gets `error` raised all the same.
    """
    return cast(Result, Failed(message=str(error), data=error))
