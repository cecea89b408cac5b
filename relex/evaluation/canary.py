"""Proof that an engine answers with the weights that it was given."""

from collections.abc import Sequence

from relex.candidates import BASE, Candidate
from relex.config import Sampling
from relex.errors import EngineError
from relex.evaluation.engine import Completion, Engine, Request

CANARY_SAMPLING = Sampling(max_completion_tokens=16)
TIMES = 2


class Canary:
    """A small batch whose answers by the base must not change while the engine lives.

    Two things are looked at: the checksums of the layers that the engine can be read back, after
    every measurement; and the answers with the base swapped back in, once for each candidate, which
    also see what an engine derives from its weights. Answers that differ twice are judged by the
    checksums: a token can differ by rounding, the weights cannot.
    """

    def __init__(self, engine: Engine, requests: Sequence[Request]) -> None:
        """Answer once; the base goes in by the same path as every candidate."""
        self._engine, self._requests = engine, requests
        self._first = self._answer()
        # What the engine packs, cuts or shares is unlike from the start.
        self._unreadable = engine.unlike_layers()

    def check_weights(self, candidate: Candidate) -> None:
        """Raise EngineError unless every layer that can be read is that of the candidate, which
        was swapped in last."""
        unlike = self._engine.unlike_layers() - self._unreadable
        if unlike:
            raise EngineError(
                f"{candidate.key}: the engine cannot be trusted: its weights are not those of the "
                f"candidate in {len(unlike)} layer(s): {', '.join(sorted(unlike)[:3])}; the last "
                "answers are discarded"
            )

    def check_answers(self) -> None:
        """Swap the base back in. Raises EngineError when it answers otherwise than at first and the
        weights cannot be shown to be the base's."""
        for _ in range(TIMES):
            found = self._answer()
            differing = [n for n, first in enumerate(self._first) if found[n] != first]
            if not differing:
                return
        number = differing[0]
        doubt = (
            f"with the base swapped back in, canary request {number} gives "
            f"{found[number].text!r}, at the start it gave {self._first[number].text!r}"
        )
        self.check_weights(BASE)
        if self._unreadable:
            raise EngineError(
                f"the engine cannot be trusted: {doubt}; the last answers are discarded"
            )
        print(f"{doubt}; every weight is the base's, so this is rounding", flush=True)

    def _answer(self) -> list[Completion]:
        self._engine.swap(BASE)
        return self._engine.generate(self._requests, CANARY_SAMPLING, lambda num_done: None)
