"""When a window has said what it will say: the rule of `training.steps: auto`.

S steps, P parts.

Every `LOOK_STEPS` steps the window so far is looked at, for what a choice would use of it:

- the skill of the secant over staying put, on the last quarter of the steps, which are held out;
- the cosine between the directions of the first and the second half;
- the order of the parts (each layer's MLP and attention, and the embeddings) by their own cosines.

The window is settled when the last `NUM_LOOKS` looks agree (skills within `SKILL_TOLERANCE`,
cosines within `COSINE_TOLERANCE`, Spearman's correlation of the orders of the oldest and the newest
at least `LEAST_CORRELATION`) and the newest forecasts: its skill is at least `LEAST_SKILL`, its
cosine at least `LEAST_COSINE`. Without that a random walk would settle soon, for it shows at every
step that nothing can be forecast; a window that forecasts little is trained to the end, for there
only training helps.

All of it follows from the Gram matrices of the displacements, and a shorter window's are corners of
them: the rule is a pure function of the window, so a run that is resumed stops at the same step.
How often it stops falsely, and what a stop costs, is in docs/training.md.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import spearmanr

from relex.extrapolation.direction import half_cosine
from relex.extrapolation.forecast import num_held_out
from relex.extrapolation.method import point
from relex.extrapolation.methods.secant import secant
from relex.extrapolation.movement import Movement, joint_movement, movement_of
from relex.extrapolation.subspace import Array
from relex.parts import Part, place_of
from relex.strict import Strict

LOOK_STEPS = 5
NUM_LOOKS = 3
FEWEST_STEPS = 10
"""Of a window that is looked at: of fewer a quarter is one or two steps."""

SKILL_TOLERANCE, COSINE_TOLERANCE, LEAST_CORRELATION = 0.1, 0.05, 0.8
LEAST_SKILL, LEAST_COSINE = 0.3, 0.7


class Look(Strict):
    """What a choice would use of a window; None is what cannot be known."""

    step: int
    """Where the window ends."""

    skill: float | None
    """Of the secant on the last quarter, over staying put: of the model."""

    half_cosine: float | None
    """Between the directions of the halves: of the model."""

    parts: dict[str, float | None]
    """The same of every part that moved, as `2.mlp`."""


def look_steps(steps: Sequence[int]) -> list[int]:
    """The steps of a window at which it is looked at, ascending."""
    return [step for step in steps if step >= FEWEST_STEPS and step % LOOK_STEPS == 0]


def look_at(grams: Mapping[str, Array], steps: Sequence[int], last: int) -> Look:
    """What the window showed when it ended at step `last`.

    `grams` are the inner products of the displacements from the base by tensor, S x S, float64, at
    the ascending `steps`.
    """
    known = [step for step in steps if step <= last]
    num = len(known)
    movements = {name: movement_of(gram[:num, :num]) for name, gram in grams.items()}
    of_part: dict[str, list[Movement]] = {}
    for name, movement in movements.items():
        layer, kind = place_of(name)
        if kind:
            part = Part(None if layer is None else (layer, layer), kind)
            of_part.setdefault(part.text, []).append(movement)
    model = joint_movement(movements.values(), num)
    return Look(
        step=last,
        skill=secant_skill(model, known),
        half_cosine=half_cosine(model, known),
        parts={
            part: half_cosine(joint_movement(found, num), known) for part, found in of_part.items()
        },
    )


def last_looks(grams: Mapping[str, Array], steps: Sequence[int]) -> tuple[Look, ...]:
    """Those that decide whether the whole window is settled."""
    return tuple(look_at(grams, steps, step) for step in look_steps(steps)[-NUM_LOOKS:])


def are_settled(looks: Sequence[Look]) -> bool:
    """Whether the last of these looks agree, and the newest forecasts."""
    if len(looks) < NUM_LOOKS:
        return False
    agreeing = looks[-NUM_LOOKS:]
    skills = [look.skill for look in agreeing if look.skill is not None]
    cosines = [look.half_cosine for look in agreeing if look.half_cosine is not None]
    return (
        len(skills) == len(cosines) == NUM_LOOKS
        and skills[-1] >= LEAST_SKILL
        and cosines[-1] >= LEAST_COSINE
        and max(skills) - min(skills) <= SKILL_TOLERANCE
        and max(cosines) - min(cosines) <= COSINE_TOLERANCE
        and same_order(agreeing[0], agreeing[-1]) >= LEAST_CORRELATION
    )


def same_order(one: Look, other: Look) -> float:
    """Spearman's correlation of the parts' cosines; 1 where none of them changed by more than
    `COSINE_TOLERANCE`, for then their order is chance, 0 where it is not defined."""
    one_P, other_P = (
        np.array([look.parts[part] or 0.0 for part in one.parts]) for look in (one, other)
    )
    if not len(one_P) or np.abs(one_P - other_P).max() <= COSINE_TOLERANCE:
        return 1.0
    if not np.ptp(one_P) or not np.ptp(other_P):
        return 0.0
    return float(spearmanr(one_P, other_P).statistic)


def secant_skill(movement: Movement, steps: Sequence[int]) -> float | None:
    """1 - squared errors of the secant / those of the last kept snapshot, summed over the last
    quarter of the steps; None where they did not move more than rounding."""
    num = len(steps)
    num_kept = num - num_held_out(num)
    if num_kept == num:
        return None
    kept, kept_SS = steps[:num_kept], movement.gram_SS[:num_kept, :num_kept]
    held = [point(steps, row) for row in range(num_kept, num)]
    said = [np.pad(secant(kept_SS, kept, step), (0, num - num_kept)) for step in steps[num_kept:]]
    staying = movement.known_square(np.stack(held) - point(steps, num_kept - 1))
    return None if staying is None else 1.0 - movement.square(np.stack(said) - held) / staying
