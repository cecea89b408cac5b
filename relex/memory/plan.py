"""The memory plan of a run, and its refusal where something does not fit."""

from collections.abc import Iterator
from dataclasses import dataclass

from relex.config import AnyRecipe, Recipe
from relex.doors import ENGINE, TRAINER
from relex.machine import Machine
from relex.memory.model import Model
from relex.memory.phases import Phase, answers_phase, training_phases


@dataclass(frozen=True)
class Plan:
    """All phases of one recipe on one machine."""

    machine: Machine
    model: Model
    phases: tuple[Phase, ...]

    longest_prompt: int | None
    """Tokens of the longest training prompt; None where it is not known."""

    trains: bool = True
    """Whether the machine does more than answer."""

    @property
    def fits(self) -> bool:
        return all(phase.fits for phase in self.phases)

    @property
    def tightest(self) -> Phase:
        """The phase that takes most of what there is for it."""
        return max(self.phases, key=lambda phase: phase.size_bytes / phase.limit_bytes)

    def lines(self) -> Iterator[str]:
        """The plan as a table: where, and a phase in a line."""
        machine = self.machine
        cards = f"{machine.num_cards} x {machine.card}" if machine.card else "no GPU"
        where = f"{machine.name}, " if machine.name else ""
        yield f"{where}{self.model.num_parameters / 1e6:,.1f} M parameters, {cards}"
        width = max((len(phase.name) for phase in self.phases), default=0)
        for phase in self.phases:
            yield f"{phase.name:<{width}}  {phase.words}"


def plan_memory(
    recipe: AnyRecipe,
    model: Model,
    machine: Machine,
    longest_prompt: int | None = None,
    *,
    trains: bool = True,
) -> Plan:
    """What the run takes there at its peaks, in training too where the machine `trains`; a trainer
    or an engine of one's own is not planned."""
    phases: list[Phase] = []
    if trains and isinstance(recipe, Recipe) and recipe.training.trainer in TRAINER.built_in:
        phases += training_phases(recipe, model, machine, longest_prompt)
    if recipe.evaluation.engine in ENGINE.built_in:
        phases.append(answers_phase(recipe, model, machine))
    return Plan(machine, model, tuple(phases), longest_prompt, trains)
