"""The regression guard: what would be chosen answers other questions before that is final."""

from collections.abc import Callable, Mapping, Sequence

from relex.candidates import Candidate
from relex.config import SelectionConfig
from relex.selection.decide import decide
from relex.selection.decision import Decision
from relex.selection.measured import Measured

MeasureGuards = Callable[[Sequence[Candidate]], Mapping[str, Sequence[Measured]]]
"""Gives, by guard benchmark, the candidates that it is called with."""


def decide_guarded(
    measured: Sequence[Measured], config: SelectionConfig, seed: int, measure: MeasureGuards
) -> Decision:
    """As `decide`; a candidate that loses on a guard benchmark gives its place to the next.

    `measure` is called with the last observed step and all that had the place so far.
    """
    decision = decide(measured, config, seed)
    guarded: list[Candidate] = []
    while decision.chosen not in (decision.last_observed, *guarded):
        guarded.append(decision.chosen)
        guards = measure([decision.last_observed, *guarded])
        decision = decide(measured, config, seed, guards)
    return decision
