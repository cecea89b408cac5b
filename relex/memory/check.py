"""A recipe that cannot fit is refused, with the sum and with what would fit."""

from collections.abc import Callable

from relex.config import AnyRecipe
from relex.errors import ResourceError
from relex.machine import Machine
from relex.memory.cheaper import changes_that_fit, words_of
from relex.memory.model import Model
from relex.memory.plan import Plan, plan_memory


def check_memory(
    recipe: AnyRecipe,
    model: Model,
    machine: Machine,
    say: Callable[[str], None],
    longest_prompt: int | None = None,
    *,
    trains: bool = True,
) -> None:
    """Say the plan, a phase in a line; raises as `check_plan`. Without the tokens of the longest
    training prompt every prompt is as long as the evaluation has room for. A machine that does not
    train only answers."""
    plan = plan_memory(recipe, model, machine, longest_prompt, trains=trains)
    for line in plan.lines():
        say(line)
    check_plan(recipe, plan)


def check_plan(recipe: AnyRecipe, plan: Plan) -> None:
    """Raise ResourceError where a phase takes more than there is, for the tightest of them."""
    if plan.fits:
        return
    phase = plan.tightest
    fitting = changes_that_fit(recipe, plan)
    raise ResourceError(
        f"recipe {recipe.name}: {phase.name} would take {phase.words}, on {plan.machine.place}; "
        + (
            "what fits: " + "; or ".join(map(words_of, fitting))
            if fitting
            else "no few changes of it fit: take a smaller base, or more memory"
        )
    )
