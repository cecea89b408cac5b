"""Two functions over the pieces of tensor after tensor, by several threads, in bounded memory.

The second function of a tensor depends on what the first gave for all its pieces. A tensor whose
pieces fit in the buffers stays in them between the two, and the tensors after it are read
meanwhile; a larger one is read twice. Results are used by the calling thread, in the order of the
pieces, so they do not depend on the number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import torch

from relex.extrapolation.displacements import PIECE_ELEMENTS, Piece, PieceReader, Span, spans

First = TypeVar("First")
Second = TypeVar("Second")
Result = TypeVar("Result")

LEAST_THREADS = 8
"""More than the cores of a small machine: some wait for the disk or the network."""


@dataclass(frozen=True)
class Work(Generic[First, Second]):
    """What is done with a tensor: functions of pieces in the threads, others in the caller's."""

    first: Callable[[Piece], First]
    """Done with every piece."""

    second: Callable[[str, Sequence[First]], Callable[[Piece], Second]]
    """From the tensor's name and what `first` gave: what is done with every piece then."""

    use: Callable[[str, Second], None]
    """Takes the name and what that gave, piece after piece."""

    on_read: Callable[[int], None]
    """Called with the number of elements of a piece that was read."""


@dataclass
class _Held(Generic[First]):
    """A tensor that is being read and will stay in its buffers."""

    name: str
    buffers: list[torch.Tensor]
    results: list[Future[tuple[Piece, First]]]


class PieceThreads:
    """A context manager; leaving it waits for what is running and drops what is not."""

    def __init__(self, reader: PieceReader, memory_bytes: int) -> None:
        self._reader = reader
        self._num_unused = self._num_buffers = max(memory_bytes // reader.buffer_bytes, 1)
        self._free: list[torch.Tensor] = []
        self._num_threads = max(LEAST_THREADS, os.cpu_count() or 1)

    def __enter__(self) -> Self:
        self._torch_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self._num_threads, initializer=self._prepare_thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._torch_threads)

    def num_reads(self, num_elements: int) -> int:
        """How often a tensor of that size is read: once or twice."""
        return 1 if len(_pieces(num_elements)) <= self._num_buffers else 2

    def run(self, num_elements: Mapping[str, int], work: Work[First, Second]) -> None:
        """Do `work` for every tensor, in order."""
        under_way: deque[_Held[First]] = deque()
        for name, number in num_elements.items():
            pieces = _pieces(number)
            while under_way and self._is_full(under_way, len(pieces)):
                self._finish(under_way.popleft(), work)
            if self.num_reads(number) == 1:
                under_way.append(self._hold(name, pieces, work))
            else:
                self._read_twice(name, pieces, work)
        while under_way:
            self._finish(under_way.popleft(), work)

    def _is_full(self, under_way: Sequence[_Held[First]], num_pieces: int) -> bool:
        """Whether nothing more may begin: no buffers, or enough to keep all threads busy."""
        num_waiting = sum(len(held.buffers) for held in list(under_way)[1:])
        return self._num_left < num_pieces or num_waiting >= self._num_threads

    def _hold(self, name: str, pieces: list[Span], work: Work[First, Second]) -> _Held[First]:
        def read(span: Span, buffer: torch.Tensor) -> tuple[Piece, First]:
            piece = self._reader.read(name, span, buffer)
            return piece, work.first(piece)

        buffers = [self._take() for _ in pieces]
        results = [self._pool.submit(read, *job) for job in zip(pieces, buffers, strict=True)]
        return _Held(name, buffers, results)

    def _finish(self, held: _Held[First], work: Work[First, Second]) -> None:
        pieces, firsts = [], []
        for future in held.results:
            piece, first = future.result()
            pieces.append(piece)
            firsts.append(first)
            work.on_read(len(piece.base_N))
        second = work.second(held.name, firsts)
        results = self._in_order(second, pieces)
        for buffer, result in zip(held.buffers, results, strict=True):
            work.use(held.name, result)
            self._free.append(buffer)

    def _in_order(
        self, function: Callable[[Piece], Result], pieces: Sequence[Piece]
    ) -> Iterator[Result]:
        """`function` of every piece, no further ahead of the caller than keeps the threads busy."""
        under_way: deque[Future[Result]] = deque()
        for piece in pieces:
            under_way.append(self._pool.submit(function, piece))
            if len(under_way) > self._num_threads:
                yield under_way.popleft().result()
        for future in under_way:
            yield future.result()

    def _read_twice(self, name: str, pieces: list[Span], work: Work[First, Second]) -> None:
        firsts = list(self._stream(name, pieces, work.first, work.on_read))
        for result in self._stream(name, pieces, work.second(name, firsts), work.on_read):
            work.use(name, result)

    def _stream(
        self,
        name: str,
        pieces: list[Span],
        function: Callable[[Piece], Result],
        on_read: Callable[[int], None],
    ) -> Iterator[Result]:
        """`function` of every piece, in order, with as many under way as there are buffers."""

        def read(span: Span, buffer: torch.Tensor) -> Result:
            return function(self._reader.read(name, span, buffer))

        under_way: deque[tuple[Span, torch.Tensor, Future[Result]]] = deque()
        for span in pieces:
            if self._num_left == 0:
                yield self._collect(under_way, on_read)
            buffer = self._take()
            under_way.append((span, buffer, self._pool.submit(read, span, buffer)))
        while under_way:
            yield self._collect(under_way, on_read)

    def _collect(
        self,
        under_way: deque[tuple[Span, torch.Tensor, Future[Result]]],
        on_read: Callable[[int], None],
    ) -> Result:
        (first, last), buffer, future = under_way.popleft()
        result = future.result()
        self._free.append(buffer)
        on_read(last - first)
        return result

    @property
    def _num_left(self) -> int:
        return self._num_unused + len(self._free)

    def _take(self) -> torch.Tensor:
        if self._free:
            return self._free.pop()
        self._num_unused -= 1
        return self._reader.new_buffer()

    def _prepare_thread(self) -> None:
        """One core each; on a GPU a stream each, so that copies and products overlap."""
        torch.set_num_threads(1)
        if self._reader.device.type == "cuda":
            torch.cuda.set_stream(torch.cuda.Stream(self._reader.device))  # type: ignore[no-untyped-call]


def _pieces(num_elements: int) -> list[Span]:
    return spans(0, num_elements, PIECE_ELEMENTS)
