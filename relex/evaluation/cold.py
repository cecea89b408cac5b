"""Whether a checkpoint that is loaded anew answers as its weights did after a swap.

Some architectures derive copies from their weights, which a swap could leave as they were; the base
swapped back cannot show that, a cold load can.
"""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from statistics import fmean

from relex.candidates import Candidate
from relex.config import Sampling
from relex.errors import EngineError
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion

GREEDY = Sampling(temperature=0.0, max_completion_tokens=16)

LARGEST_ROUNDING: dict[Dtype, float] = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.15}
"""Of one log-probability: a little more than a unit in the last place of a logit of 16."""

LARGEST_MEAN_FRACTION = 0.1
"""Of that, the largest mean over all tokens; equal weights in the same batch usually give none."""


def check_same_answers(
    candidate: Candidate,
    folder: Path,
    swapped: Sequence[Completion],
    cold: Sequence[Completion],
    dtype: Dtype,
) -> None:
    """Raise EngineError unless the greedy completions are the same, and the log-probabilities of
    their tokens but for rounding. Two tokens that are equally likely may change places."""
    largest, differences = LARGEST_ROUNDING[dtype], [0.0]
    for number, (first, second) in enumerate(zip(swapped, cold, strict=True)):
        differences += _differences(first, second)
        if max(differences) > largest or fmean(differences) > LARGEST_MEAN_FRACTION * largest:
            raise EngineError(
                f"{folder}: loaded by a new engine it answers request {number} with "
                f"{second.text!r}, and {candidate.key}, swapped into the engine that measured it, "
                f"with {first.text!r} (log-probabilities differ by up to {max(differences):.3g}); "
                "the scores are not those of this checkpoint, so it is not published: the engine "
                "does not take all weights of this model in place; choose another "
                "evaluation.engine"
            )


def _differences(swapped: Completion, cold: Completion) -> list[float]:
    """Of the log-probabilities, up to the first token that is another; without end for answers
    that differ where no rounding explains it."""
    if not (swapped.tokens and cold.tokens):
        return [0.0 if swapped == cold else inf]
    found = []
    for first, second in zip(swapped.tokens, cold.tokens, strict=False):
        found.append(abs(first.log_prob - second.log_prob))
        if first.id != second.id:
            return found
    return found if len(swapped.tokens) == len(cold.tokens) else [inf]
