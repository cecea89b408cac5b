"""The flow run that we are in: its recipe, its name, and its end when it cannot be run."""

from typing import TypeVar, cast

from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed

from relex.config import Recipe, WindowRecipe
from relex.config.addresses import check_environment
from relex.doors.plugins import restrict_plugins
from relex.errors import InputError, RecipeError
from relex.visible import one_line
from tasks.form import recipe_of

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


def run_name() -> str:
    """The run id of the recipe, which is also the name of the run's folder."""
    try:
        return stated_recipe().run_id
    except RecipeError:
        return REFUSED


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
