"""Two functions over the pieces of tensor after tensor, by several threads, in bounded memory.

The second function of a tensor depends on what the first gave for all its pieces. A tensor whose
pieces fit in the buffers stays in them between the two, and the tensors after it are read
meanwhile; a larger one is read twice. What the first function gave is used in the order of the
pieces, so no bits depend on the number of threads. With several GPUs the tensors take turns.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Generic, Self, TypeVar

import torch

from relex.device import num_cores, one_torch_thread
from relex.extrapolation.displacements import Piece, PieceReader, Span, spans

First = TypeVar("First")
Result = TypeVar("Result")

LEAST_THREADS = 2
"""One reads while the other computes. More threads than cores only push each other's pieces out
of the caches."""

LEAST_REMOTE_THREADS = 8
"""Where most of them wait for the network."""

CPU_MEMORY_BYTES = 2_000_000_000
"""Budget in the memory of the CPU, unless another one is given."""

GPU_MEMORY_FRACTION = 0.5
"""Budget on a GPU, of what is free there, unless another one is given."""

THREADS_FRACTION = 0.5
"""The most of a budget that threads take for themselves; the pieces have the rest."""


@dataclass(frozen=True)
class Work(Generic[First]):
    """What is done with a tensor: functions of its pieces, which run in the threads."""

    first: Callable[[Piece], First]
    """Done with every piece; what it gives is on the CPU."""

    second: Callable[[str, Sequence[First]], Callable[[Piece, Span], None]]
    """From the tensor's name and what `first` gave: what is done with every piece then."""

    on_read: Callable[[int], None]
    """Called in the caller's thread with the number of elements of a piece that was read."""


@dataclass
class _Place:
    """A device and its buffers."""

    device: torch.device
    num_buffers: int
    buffer_bytes: int
    num_made: int = 0
    free: list[torch.Tensor] = field(default_factory=list)

    @property
    def num_left(self) -> int:
        return self.num_buffers - self.num_made + len(self.free)

    def take(self) -> torch.Tensor:
        if self.free:
            return self.free.pop()
        self.num_made += 1
        return torch.empty(self.buffer_bytes, dtype=torch.uint8, device=self.device)


@dataclass
class _Held(Generic[First]):
    """A tensor that stays in its buffers from the first function to the second."""

    name: str
    place: _Place
    pieces: list[Span]
    buffers: list[torch.Tensor]
    firsts: list[Future[tuple[Piece, First]]]
    seconds: list[Future[None]] = field(default_factory=list)


class PieceThreads:
    """A context manager; leaving it waits for what is running and drops what is not."""

    def __init__(
        self, reader: PieceReader, devices: Sequence[torch.device], memory_bytes: int | None
    ) -> None:
        """`memory_bytes` is the budget on each of `devices`; by default it follows the device."""
        self._reader = reader
        budgets = [_budget(device, memory_bytes) for device in devices]
        self.num_threads = _num_threads(reader, devices, budgets)
        self._places = [
            _Place(device, self._num_buffers(device, budget), reader.buffer_bytes)
            for device, budget in zip(devices, budgets, strict=True)
        ]
        self._local = threading.local()

    def __enter__(self) -> Self:
        self._torch_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self.num_threads, initializer=self._prepare_thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._torch_threads)
        for place in self._places:
            place.free.clear()
        if any(place.device.type == "cuda" for place in self._places):
            torch.cuda.empty_cache()  # others may want it while this process lives

    def num_reads(self, num_elements: int) -> int:
        """How often a tensor of that size is read: once or twice."""
        return 1 if len(self._pieces(num_elements)) <= self.num_buffers else 2

    @property
    def num_buffers(self) -> int:
        """Pieces that are held on a device."""
        return min(place.num_buffers for place in self._places)

    def run(self, num_elements: Mapping[str, int], work: Work[First]) -> None:
        """Do `work` for every tensor, in order."""
        reading: deque[_Held[First]] = deque()
        ending: deque[_Held[First]] = deque()

        def advance() -> None:
            """End the oldest tensor, but not before the threads have enough to do."""
            if ending and (not reading or _num_pieces(ending) >= self.num_threads):
                self._end(ending.popleft())
            else:
                ending.append(self._begin_second(reading.popleft(), work))

        for (name, number), place in zip(num_elements.items(), cycle(self._places), strict=False):
            pieces = self._pieces(number)
            while (reading or ending) and (
                place.num_left < len(pieces) or _num_pieces(reading) >= self.num_threads
            ):
                advance()
            if self.num_reads(number) == 1:
                reading.append(self._begin_first(name, place, pieces, work))
            else:
                self._read_twice(name, place, pieces, work)
        while reading or ending:
            advance()

    def _num_buffers(self, device: torch.device, budget: int) -> int:
        left = budget - self.num_threads * self._reader.thread_bytes(device)
        return max(left // self._reader.buffer_bytes, 1)

    def _pieces(self, num_elements: int) -> list[Span]:
        return spans(0, num_elements, self._reader.piece_elements)

    def _begin_first(
        self, name: str, place: _Place, pieces: list[Span], work: Work[First]
    ) -> _Held[First]:
        def first(span: Span, buffer: torch.Tensor) -> tuple[Piece, First]:
            with self._stream_of(place.device):
                piece = self._reader.read(name, span, buffer)
                return piece, work.first(piece)

        buffers = [place.take() for _ in pieces]
        jobs = zip(pieces, buffers, strict=True)
        return _Held(name, place, pieces, buffers, [self._pool.submit(first, *job) for job in jobs])

    def _begin_second(self, held: _Held[First], work: Work[First]) -> _Held[First]:
        done = []
        for future in held.firsts:
            done.append(future.result())
            work.on_read(len(done[-1][0].base_N))
        second = work.second(held.name, [found for _, found in done])

        def end(piece: Piece, span: Span) -> None:
            with self._stream_of(held.place.device):
                second(piece, span)

        for (piece, _), span in zip(done, held.pieces, strict=True):
            held.seconds.append(self._pool.submit(end, piece, span))
        return held

    def _end(self, held: _Held[First]) -> None:
        for buffer, future in zip(held.buffers, held.seconds, strict=True):
            future.result()
            held.place.free.append(buffer)

    def _read_twice(self, name: str, place: _Place, pieces: list[Span], work: Work[First]) -> None:
        def first(piece: Piece, _: Span) -> First:
            return work.first(piece)

        firsts = list(self._stream(name, place, pieces, first, work.on_read))
        for _ in self._stream(name, place, pieces, work.second(name, firsts), work.on_read):
            pass

    def _stream(
        self,
        name: str,
        place: _Place,
        pieces: list[Span],
        function: Callable[[Piece, Span], Result],
        on_read: Callable[[int], None],
    ) -> Iterator[Result]:
        """`function` of every piece, in order, with as many under way as there are buffers."""

        def job(span: Span, buffer: torch.Tensor) -> Result:
            with self._stream_of(place.device):
                return function(self._reader.read(name, span, buffer), span)

        under_way: deque[tuple[Span, torch.Tensor, Future[Result]]] = deque()

        def collect() -> Result:
            (first, last), buffer, future = under_way.popleft()
            result = future.result()
            place.free.append(buffer)
            on_read(last - first)
            return result

        for span in pieces:
            if place.num_left == 0:
                yield collect()
            buffer = place.take()
            under_way.append((span, buffer, self._pool.submit(job, span, buffer)))
        while under_way:
            yield collect()

    def _prepare_thread(self) -> None:
        """One core each; the copies and products of one piece overlap with those of others."""
        one_torch_thread()
        self._local.streams = {
            place.device: torch.cuda.Stream(place.device)  # type: ignore[no-untyped-call]
            for place in self._places
            if place.device.type == "cuda"
        }

    @contextmanager
    def _stream_of(self, device: torch.device) -> Iterator[None]:
        """The thread's own on a GPU, so that waiting for it stops nobody else; all that was begun
        in it is done on leaving."""
        if device.type == "cpu":
            yield
            return
        stream = self._local.streams[device]
        with torch.cuda.stream(stream):
            yield
            stream.synchronize()


def _budget(device: torch.device, memory_bytes: int | None) -> int:
    if memory_bytes is not None or device.type == "cpu":
        return memory_bytes or CPU_MEMORY_BYTES
    return int(torch.cuda.mem_get_info(device)[0] * GPU_MEMORY_FRACTION)


def _num_threads(
    reader: PieceReader, devices: Sequence[torch.device], budgets: Sequence[int]
) -> int:
    """One for every core that this process may use, as far as memory goes."""
    is_remote = reader.window.where.startswith("s3://")
    least = LEAST_REMOTE_THREADS if is_remote else LEAST_THREADS
    most = max(least, num_cores())
    for device, budget in zip(devices, budgets, strict=True):
        most = min(most, int(THREADS_FRACTION * budget) // reader.thread_bytes(device))
        if device.type == "cuda" and not reader.is_sparse:  # pieces go there by way of the host
            most = min(most, CPU_MEMORY_BYTES // reader.buffer_bytes)
    return max(most, 1)


def _num_pieces(many: Sequence[_Held[First]]) -> int:
    return sum(len(held.pieces) for held in many)
