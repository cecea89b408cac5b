"""The names that trainers give to the checkpoint of a step."""

import re
from collections.abc import Iterable

from relex.errors import WindowError

KNOWN = (
    r"(?:checkpoint-|global_step_|step_)(?P<step>\d+)",  # Hugging Face, verl, SkyRL, and others
    r"global_step(?P<step>\d+)(?:_hf)?",  # OpenRLHF, DeepSpeed
    r"epoch\d+epochstep\d+globalstep(?P<index>\d+)",  # AReaL
    r"iter_(?P<index>\d+)",  # slime
)
"""`step` is the number of updates made; `index` counts from 0, so that it is one less."""

EXAMPLES = "checkpoint-N, global_step_N or step_N (--step-pattern for other names)"


class StepNames:
    """Names that stand for steps: those known, or those of one pattern."""

    def __init__(self, pattern: str = "") -> None:
        """`pattern` is a regular expression of whole names, with one group that is the step, or a
        group named `index` where the first step has the number 0.

        Raises WindowError when it is none.
        """
        try:
            self._patterns = [re.compile(text) for text in ([pattern] if pattern else KNOWN)]
        except (re.error, OverflowError, RecursionError) as error:
            raise WindowError(
                f"step pattern {pattern!r}: is no regular expression ({error})"
            ) from error
        if any(found.groups != 1 for found in self._patterns):
            raise WindowError(
                rf"step pattern {pattern!r}: has no group, or several; write it like run_(\d+)"
            )

    def steps(self, where: str, names: Iterable[str]) -> dict[int, str]:
        """Names by their steps, ascending; step 0 is the base, and other names mean nothing.

        Raises WindowError when there is none, or a step is there twice.
        """
        found: dict[int, str] = {}
        for name in names:
            step = self._step(where, name)
            if not step:
                continue
            if step in found:
                raise WindowError(f"{where}: holds step {step} twice: {found[step]}, {name}")
            found[step] = name
        if not found:
            raise WindowError(f"{where}: neither a window, nor is anything there named {EXAMPLES}")
        return dict(sorted(found.items()))

    def _step(self, where: str, name: str) -> int:
        for pattern in self._patterns:
            if match := pattern.fullmatch(name):
                if not match[1].isdecimal():
                    raise WindowError(f"{where}: {name}: the step is {match[1]!r}, no number")
                return int(match[1]) + ("index" in pattern.groupindex)
        return 0


KNOWN_NAMES = StepNames()
