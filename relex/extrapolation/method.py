"""The door through which every method comes in, ours and a user's.

S steps of the window.

A method is a pure function

    def NAME(gram_SS, steps, target, *, parameter=default) -> weight_S

of the inner products of a tensor's displacements from the base (S x S, float64), the ascending
optimizer steps that they belong to, and the step to reach. The tensor goes to
`base + sum_s weight_s D[s]`, rounded once. The function is called for every tensor by itself, so
weights may follow what the tensor did; its parameters are numbers.

`methods/NAME.py` with the function `NAME` is the method NAME, and one of a user's own is
`module:NAME`. Parameters follow with their values: `line-rank3`, `my_methods:ema-decay0.9`. A
module with `INSIDE_WINDOW = True` has methods for steps of the window, not for steps beyond it.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from relex.candidates import split_text
from relex.doors import METHOD
from relex.doors.door import MESSAGE_CHARACTERS
from relex.errors import FactorsError, InputError
from relex.extrapolation.subspace import Array
from relex.visible import one_line

Weights = Callable[[Array, Sequence[int], int], Array]
"""From the Gram matrix (S x S), the S steps and the target: a weight for every displacement."""

BUILT_IN = tuple(METHOD.built_in)


@dataclass(frozen=True)
class Method:
    """A method with its parameters."""

    text: str
    """What it was named by; the same text finds the same method."""

    is_inside: bool
    """Whether its targets are steps of the window in place of steps beyond it."""

    function: Weights

    def weights(self, gram_SS: Array, steps: Sequence[int], target: int) -> Array:
        """Weights of the S displacements, float64.

        Raises FactorsError when the method raises, or they are not S finite numbers.
        """
        try:
            weight_S = np.asarray(self.function(gram_SS, steps, target), dtype=np.float64)
        except FactorsError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {one_line(str(error), MESSAGE_CHARACTERS)}"
            raise FactorsError(
                f"method {self.text}: raised {what} at step {target}; a method is called as "
                "f(gram_SS, steps, target, *, parameter=default)"
            ) from error
        if weight_S.shape != (len(steps),) or not np.isfinite(weight_S).all():
            raise FactorsError(
                f"method {self.text}: gave {_shown(weight_S)} at step {target}; a method gives one "
                f"finite weight for each of the {len(steps)} snapshots"
            )
        return weight_S

    def check_target(self, where: str, steps: Sequence[int], target: int) -> None:
        """Raise FactorsError unless the method can answer for `target`."""
        if self.is_inside and target not in steps:
            raise FactorsError(
                f"{where}: step {target} was not fitted, so {self.text} cannot show it; "
                f"{len(steps)} steps from {steps[0]} to {steps[-1]} were"
            )
        if not self.is_inside and target <= steps[-1]:
            raise FactorsError(
                f"{where}: step {target} is not beyond the window, which ends at step {steps[-1]}; "
                "give a later step, take the snapshot itself, or --method denoised"
            )


def point(steps: Sequence[int], row: int) -> Array:
    """A snapshot of the window as weights: 1 in its `row`, 0 in all others."""
    weight_S = np.zeros(len(steps))
    weight_S[row] = 1.0
    return weight_S


def find_method(text: str) -> Method:
    """The method that `text` names; raises InputError when there is none, or not so."""
    name, written = split_text(text)
    function, is_inside = _load(name)
    allowed = {
        key: type(parameter.default)
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and isinstance(parameter.default, int | float)
    }
    params = {}
    for key, number in written:
        if key not in allowed:
            takes = ", ".join(allowed) or "none"
            raise InputError(f"method {text}: {name} has no parameter {key}; it takes {takes}")
        try:
            params[key] = allowed[key](number)
        except ValueError as error:
            kind = allowed[key].__name__
            raise InputError(f"method {text}: {key} is {number}, expected {kind}") from error
    return Method(text, is_inside, partial(function, **params))


def find_methods(texts: Iterable[str]) -> list[Method]:
    """Each method once; raises InputError as `find_method`."""
    return [find_method(text) for text in dict.fromkeys(texts)]


def _load(name: str) -> tuple[Callable[..., Any], bool]:
    function = METHOD.load(name)
    module = sys.modules[METHOD.place(name)[0]]
    return function, bool(getattr(module, "INSIDE_WINDOW", False))


def _shown(weight_S: Array) -> str:
    if weight_S.ndim != 1:
        return f"an array of shape {weight_S.shape}"
    return f"{len(weight_S)} weights, {int((~np.isfinite(weight_S)).sum())} of them not finite"
