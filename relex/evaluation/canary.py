"""Proof that an engine still is what it was at its start."""

from collections.abc import Sequence

from relex.candidates import BASE
from relex.config import Sampling
from relex.errors import EngineError
from relex.evaluation.engine import Completion, Engine, Request

CANARY_SAMPLING = Sampling(max_completion_tokens=16)


class Canary:
    """A small batch whose answers by the base must never change while the engine lives."""

    def __init__(self, engine: Engine, requests: Sequence[Request]) -> None:
        """Answer once; the base goes in by the same path as every candidate."""
        self._engine, self._requests = engine, requests
        self._first = self._answer()

    def check(self) -> None:
        """Swap the base back in. Raises EngineError unless it answers exactly as at first."""
        for number, found in enumerate(self._answer()):
            expected = self._first[number]
            if found != expected:
                raise EngineError(
                    "the engine cannot be trusted: with the base swapped back in, canary request "
                    f"{number} gives {found.text!r}, at the start it gave {expected.text!r}; "
                    "the last answers are discarded"
                )

    def _answer(self) -> list[Completion]:
        self._engine.swap(BASE)
        return self._engine.generate(self._requests, CANARY_SAMPLING, lambda num_done: None)
