"""Breaks in a trajectory: no movement, repeated snapshots, jumps, a restart with a reset optimizer.

S steps of the window.

The rules look at the model as one vector. Lengths of updates are compared per step, once over the
number of steps that an update covers and once over its root, as for a random walk; a finding must
hold for both, so that steps missing from a window are no finding.

- Repeated: in every tensor both snapshots have the same inner products with all snapshots, up to
  rounding. This tells apart updates of a few millionths of the displacement, such as end a cosine
  schedule, which squared lengths do not.
- Jump: an update at least three times as long as the median of three on each side of it; at the
  end of the window, where only those before it are there, than those.
- Reset: Adam's first update after its averages are lost is rate * sign(gradient). Gradients that
  are independent of each other make the t-th one shorter by the root mean square of their average,
  sqrt((1 - b) (1 + b^t) / ((1 + b) (1 - b^t))): for b = 0.9 that is 1, 0.71, 0.58, 0.45 at the
  fifth and 0.23 in the end, so the length leaps up and then relaxes. Real gradients agree more: in
  a GRPO run of the toy the leap was to 1.4 times. The first update knows nothing of the momentum
  before it, so the cosine between the two falls (there from 0.99 to 0.63), where a higher learning
  rate leaves it as it was. Not seen are a reset within the first steps, one followed by a warm-up,
  one between snapshots that are many steps apart, and one in snapshots that are rounded more
  coarsely than a step moves them: there cosines are low throughout.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from statistics import median
from typing import Literal

import numpy as np

from relex.extrapolation.movement import Movement, joint_movement
from relex.extrapolation.subspace import Array
from relex.strict import Strict

NUM_NEIGHBOURS = 3
"""Known updates on each side that one is compared with."""

JUMP_FACTOR = 3.0
"""A jump is this many times as long as the median of its neighbours."""

RESET_FACTOR = 1.2
"""A reset is this many times as long as every update before it."""

USUAL_LEAPS = 2
"""A reset leaps as far as this many of the largest leaps among the updates before it."""

LONE_FACTOR = 0.5
"""The update after a reset is at least this share of it; otherwise the leap is a lone one."""

NUM_RELAXING = 5
RELAXED_FACTOR = 0.85
"""One of the updates after a reset is at most this share of it."""

FALLEN_FACTOR = 0.85
"""The cosine to the update before a reset is at most this share of those before."""

SEEN_COSINE = 0.5
"""Below it consecutive updates have too little in common for a fall to be seen."""

NOTHING_TRAINED = (
    "nothing was trained: every snapshot equals the base; after a LoRA training, the adapters were "
    "not merged into the checkpoints, or merged with a scale of 0"
)


class Anomaly(Strict):
    """One finding about the trajectory."""

    kind: Literal["still", "repeated", "jump", "reset"]
    """What was found."""

    steps: tuple[int, ...]
    """The steps of the snapshots concerned."""

    message: str
    """Where, what was found, and what to do."""


@dataclass(frozen=True)
class _Update:
    """What led from one snapshot to the next different one."""

    start: int
    step: int
    weight_S: Array
    length: float

    @property
    def rates(self) -> tuple[float, float]:
        """Length per step, and per root of the steps."""
        num_steps = self.step - self.start
        return self.length / num_steps, self.length / math.sqrt(num_steps)


def find_anomalies(movements: Collection[Movement], steps: Sequence[int]) -> tuple[Anomaly, ...]:
    """What breaks the trajectory of a model with these tensors, by step."""
    if not any(movement.gram_SS.any() for movement in movements):
        return (Anomaly(kind="still", steps=tuple(steps), message=NOTHING_TRAINED),)
    repeated = _repeated(movements, len(steps))
    joint = joint_movement(movements, len(steps))
    different = [row for row, is_repeated in enumerate(repeated) if not is_repeated]
    updates = _updates(joint, steps, different)
    found = [*_describe_repeated(repeated, steps)]
    for number in range(1, len(updates)):
        found += _check_jump(updates, number) or _check_reset(joint, updates, number)
    return tuple(sorted(found, key=lambda anomaly: anomaly.steps))


def _repeated(movements: Collection[Movement], num_steps: int) -> list[bool]:
    """Whether each snapshot is the same as the one before it."""
    repeated_S = np.ones(num_steps, dtype=bool)
    for movement in movements:
        difference_SS = np.abs(np.diff(movement.gram_SS, axis=0))
        repeated_S[1:] &= (difference_SS <= 2 * movement.rounding_SS[1:]).all(axis=1)
    repeated_S[0] = False
    return [bool(is_repeated) for is_repeated in repeated_S]


def _updates(joint: Movement, steps: Sequence[int], rows: Sequence[int]) -> list[_Update]:
    """The updates between the snapshots in `rows`, without those that drown in rounding."""
    point_SS = np.eye(len(steps))
    updates = []
    for before, after in pairwise(rows):
        weight_S = point_SS[after] - point_SS[before]
        square = joint.known_square(weight_S)
        if square is not None:
            updates.append(_Update(steps[before], steps[after], weight_S, math.sqrt(square)))
    return updates


def _describe_repeated(repeated: Sequence[bool], steps: Sequence[int]) -> Iterator[Anomaly]:
    row = 1
    while row < len(steps):
        first = row - 1
        while row < len(steps) and repeated[row]:
            row += 1
        if row - 1 > first:
            same = tuple(steps[first + 1 : row])
            cure = (
                f"fit only up to step {steps[first]} (--steps {steps[0]}:{steps[first]})"
                if row == len(steps) and first > 0
                else "take the repeated ones out of the window"
            )
            yield Anomaly(
                kind="repeated",
                steps=same,
                message=f"{_name(same)} {'has' if len(same) == 1 else 'have'} the weights of step "
                f"{steps[first]}: training stood still, as at a learning rate of zero, or a "
                f"snapshot was saved twice; {cure}",
            )
        row += 1


def _check_jump(updates: Sequence[_Update], number: int) -> list[Anomaly]:
    update = updates[number]
    before = updates[max(number - NUM_NEIGHBOURS, 0) : number]
    after = updates[number + 1 : number + 1 + NUM_NEIGHBOURS]
    if len(before) + len(after) < NUM_NEIGHBOURS:
        return []
    factor = min(_over_median(update, side) for side in (before, after) if side)
    if factor < JUMP_FACTOR:
        return []
    return [
        Anomaly(
            kind="jump",
            steps=(update.start, update.step),
            message=f"steps {update.start} to {update.step}: the weights move {factor:.1f} times "
            "as far per step as around it; look for a spike of the gradient or the learning rate, "
            "or for snapshots of another run, and fit only what lies on one side of it",
        )
    ]


def _check_reset(joint: Movement, updates: Sequence[_Update], number: int) -> list[Anomaly]:
    update = updates[number]
    before = updates[max(number - NUM_NEIGHBOURS, 0) : number]
    after = updates[number + 1 : number + 1 + NUM_RELAXING]
    if len(before) < 2 or len(after) < 2:
        return []
    leap = min(_ratio(update, other) for other in before)
    usual_leap = max(_ratio(one, two) for one, two in permutations(before, 2))
    if leap < max(RESET_FACTOR, usual_leap**USUAL_LEAPS):
        return []
    relaxing = [1 / _ratio(update, other) for other in after]
    if relaxing[0] < LONE_FACTOR or min(relaxing) > RELAXED_FACTOR:
        return []
    cosine = joint.cosine(before[-1].weight_S, update.weight_S) or 0.0
    usual = median(joint.cosine(one.weight_S, two.weight_S) or 0.0 for one, two in pairwise(before))
    if usual < SEEN_COSINE or cosine > FALLEN_FACTOR * usual:
        return []
    return [
        Anomaly(
            kind="reset",
            steps=(update.step,),
            message=f"step {update.step}: the update leaps to {leap:.1f} times the length of those "
            f"before it, turns away from them (cosine {cosine:.2f}, before {usual:.2f}) and then "
            "relaxes, as after a restart with a reset optimizer; resume with the optimizer's "
            f"state, or fit only from step {update.step} on",
        )
    ]


def _ratio(update: _Update, other: _Update) -> float:
    """How much longer an update is per step, however steps add up."""
    return min(mine / theirs for mine, theirs in zip(update.rates, other.rates, strict=True))


def _over_median(update: _Update, others: Sequence[_Update]) -> float:
    """How much longer an update is per step than the median of others, however steps add up."""
    per_step, per_root = update.rates
    return min(
        per_step / median(other.rates[0] for other in others),
        per_root / median(other.rates[1] for other in others),
    )


def _name(steps: Sequence[int]) -> str:
    return f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
