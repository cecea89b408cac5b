"""Where engines work: on this machine, or on the nodes of a cluster."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from relex.children import Start, start_here
from relex.config.recipe import EvaluationConfig
from relex.device import Device
from relex.evaluation.engine_places import engine_places
from relex.evaluation.weight_source import WeightSource


class Workplace(Protocol):
    """A Protocol because there are two: `Here`, and the cluster of a run."""

    @property
    def start(self) -> Start:
        """Starts the process of an engine."""

    def places(self) -> Sequence[Mapping[str, str]]:
        """One for each engine that there can be now: what its environment says."""

    def source(self, source: WeightSource) -> WeightSource:
        """A source of this machine, as engines there find it."""

    def checkpoint(self, folder: Path) -> AbstractContextManager[WeightSource]:
        """A checkpoint of this machine as a base, for as long as the block."""


class Here:
    """One engine for each GPU of this machine, see `engine_places`, which says what it raises."""

    start: Start = staticmethod(start_here)

    def __init__(self, device: Device, evaluation: EvaluationConfig) -> None:
        self._places = engine_places(device, evaluation)

    def places(self) -> Sequence[Mapping[str, str]]:
        return self._places

    def source(self, source: WeightSource) -> WeightSource:
        return source

    @contextmanager
    def checkpoint(self, folder: Path) -> Iterator[WeightSource]:
        yield WeightSource(base=str(folder))
