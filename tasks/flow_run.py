"""The flow run that we are in: its recipe, its name, and its end when it cannot be run."""

from typing import Any, TypeVar, cast

from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed, State

from relex.config import Recipe, WindowRecipe
from relex.config.addresses import check_environment
from relex.doors.plugins import restrict_plugins
from relex.errors import InputError, RecipeError
from relex.report import RunSummary
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


def concluded(summary: RunSummary) -> RunSummary:
    """What a flow returns at its end: a run that made the model worse is Completed, for everything
    that waits for it, but its state is named Harmful and says why, for everyone who looks."""
    if not summary.decision.is_harmful:
        return summary
    return cast(RunSummary, harmful(summary.decision.reason, summary))


def harmful(reason: str, result: object) -> State[Any]:
    """The state of a flow run whose training made the model worse."""
    return Completed(name=HARMFUL, message=reason, data=result)


def refused(error: InputError, _: type[Result]) -> Result:
    """What a flow returns when what it was given cannot be used.

    Prefect then shows the one line that says why, where a raised error would be logged with its
    traceback; whoever called the flow gets `error` raised all the same.
    """
    return cast(Result, Failed(message=str(error), data=error))
