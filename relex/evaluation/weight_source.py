"""The weights of any candidate: what is evaluated is what is published."""

from collections.abc import Iterator
from pathlib import Path

from relex.candidates import Candidate
from relex.checkpoints import Checkpoint, NamedTensor
from relex.device import Device
from relex.errors import FactorsError, WindowError
from relex.extrapolation import Factors, find_method, open_factors, predict_tensors
from relex.extrapolation.checks import check_window_of_base
from relex.parts import find_part
from relex.storage import S3Connection
from relex.strict import Strict
from relex.window import Window, open_window


class WeightSource(Strict):
    """Where candidates' weights come from."""

    base: str
    """Folder of the base checkpoint; for another machine, `toy`, a folder there or
    `NAME@REVISION`."""

    base_digest: str = ""
    """What another machine must find there; without, all is on this one."""

    window: str = ""
    """Folder or `s3://` address of the window; needed for observed candidates."""

    connection: S3Connection = S3Connection()
    """How to reach a window on S3."""

    factors: str = ""
    """Folder of the factors, for another machine their address; needed for all that a method
    makes."""


class CandidateWeights:
    """An opened source; window and factors are opened and checked when first needed."""

    def __init__(self, source: WeightSource) -> None:
        """Raises CheckpointError when the base cannot be read."""
        self._source = source
        self.base = Checkpoint(Path(source.base))
        self._window: Window | None = None
        self._factors: Factors | None = None

    def tensors(self, candidate: Candidate, device: Device = "cpu") -> Iterator[NamedTensor]:
        """The candidate's tensors on the device, in the base's names, order, shapes and dtypes;
        what a method makes is computed there.

        Raises, before the first tensor, WindowError or FactorsError when the source has no such
        step, or is not of this base, InputError when there is no such method or
        part.
        """
        if candidate.is_base:
            return ((name, self.base.read_tensor(name).to(device)) for name in self.base.tensors)
        if candidate.is_observed:
            return self._observed(candidate.step, device)
        method = find_method(candidate.method)
        part = find_part(candidate.part)
        factors = self._open_factors()
        return predict_tensors(factors, self.base, candidate.step, method, device, part)

    def _observed(self, step: int, device: Device) -> Iterator[NamedTensor]:
        window = self._open_window()
        if step not in window.steps:
            raise WindowError(
                f"{window.where}: has no step {step}; it holds {len(window.steps)} steps from "
                f"{min(window.steps)} to {max(window.steps)}"
            )
        return (
            (name, window.read(step, name).to(device).reshape(info.shape).to(info.dtype))
            for name, info in self.base.tensors.items()
        )

    def _open_window(self) -> Window:
        if self._window is None:
            if not self._source.window:
                raise WindowError("this candidate needs a window; none was given")
            window = open_window(self._source.window, self._source.connection, self.base)
            check_window_of_base(window, self.base)
            self._window = window
        return self._window

    def _open_factors(self) -> Factors:
        if self._factors is None:
            if not self._source.factors:
                raise FactorsError("this candidate needs factors; none were given")
            self._factors = open_factors(Path(self._source.factors))
        return self._factors
