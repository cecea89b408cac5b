"""Replays the delta files of a window: what a step holds, from the nearest anchor or the base.

N elements of one span of a tensor, in whole blocks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import TypeVar

import torch

from relex.checkpoints import TensorInfo
from relex.errors import WindowError
from relex.storage import Store
from relex.storage.block_cache import BlockCache
from relex.window.codec import Change, DeltaFile, Snapshot, decode_blocks
from relex.window.codec.patterns import patterns
from relex.window.damage import NUM_READS, find_damage
from relex.window.layout import StepFile, WindowManifest
from relex.window.moved import Moved
from relex.window.precision import patterns_of_base

PARALLEL_OPENS = 8

Found = TypeVar("Found")


class Replay:
    """The patterns of every safe step of a window."""

    def __init__(self, store: Store, manifest: WindowManifest, base: Snapshot | None) -> None:
        """Check the size and read the header of every step's file.

        Raises WindowError when a file is missing, truncated or damaged in its header.
        """
        self._store, self._manifest, self._base = store, manifest, base
        is_remote = store.uri.startswith("s3://")
        self._reader = BlockCache(store) if is_remote else store
        with ThreadPoolExecutor(PARALLEL_OPENS) as pool:
            opened = pool.map(self._open, manifest.facts.steps)
            self._delta_of = dict(zip(manifest.steps, opened, strict=True))
        steps = manifest.facts.steps
        self._before_anchor = {
            before.step for before, after in pairwise(steps) if after.kind == "anchor"
        }

    @property
    def block_elements(self) -> int:
        """Elements that are decoded together."""
        return self._first_delta.block_elements

    @property
    def _first_delta(self) -> DeltaFile:
        return self._delta_of[self._manifest.facts.steps[0].step]

    @property
    def tensors_of(self) -> dict[int, Mapping[str, TensorInfo]]:
        """Names, shapes and dtypes of the patterns, by step."""
        return {step: delta.tensors for step, delta in self._delta_of.items()}

    def rows(
        self, name: str, start: int, stop: int, steps: Sequence[int]
    ) -> Iterator[torch.Tensor]:
        """Elements [start, stop) of the patterns `name` at each of `steps`, which ascend.

        Every row lies in the same memory, where the next one is made of it: use or copy it before
        asking for the next. So every block is decoded once, and only what changed is touched.
        Raises WindowError, naming window, step, file, and the digests expected and found, when a
        file is damaged.
        """
        wanted = set(steps)
        if start >= stop:
            dtype = self._first_delta.tensors[name].dtype
            yield from (torch.empty(0, dtype=dtype) for _ in steps)
            return
        files = self._chain(min(wanted), max(wanted))
        first, last = self._whole_blocks(name, start, stop)
        state_N = self._before(files[0], name, first, last)
        for file in files:
            self._again(file, lambda delta: delta.decode(name, first, state_N))
            self._check_before_anchor(file.step, files[-1].step, name, first, state_N)
            if file.step in wanted:
                yield state_N[start - first : stop - first]

    def moved(self, name: str, start: int, start_N: torch.Tensor, steps: Sequence[int]) -> Moved:
        """What moved at these steps, which ascend, of the elements `start_N` of the base, in the
        window's dtype; they are whole blocks of `name` from `start` on, on any device.

        All steps are decoded together. Raises as `rows`, also when the elements are filled in.
        """
        files = [file for file in self._manifest.facts.steps if file.step <= steps[-1]]
        stop = start + len(start_N)
        blocks_of = [
            self._again(file, lambda delta: delta.blocks(name, start, stop)) for file in files
        ]
        last = self._delta_of[files[-1].step]
        with last.named(name):
            blocks = [block for of_step in blocks_of for block in of_step]
            changes = decode_blocks(blocks, start_N.itemsize, start_N.device)
        change_of: dict[int, Change] = {}
        state_N = patterns(start_N).clone() if any(one.is_whole for one in changes) else None
        of_step = iter(changes)
        for file, found in zip(files, blocks_of, strict=True):
            here = [next(of_step) for _ in found]
            change_of[file.step] = self._joined(here, state_N)
            if state_N is not None:
                change_of[file.step].apply(state_N)
                self._check_before_anchor(
                    file.step, files[-1].step, name, start, state_N.view(start_N.dtype)
                )
        return Moved(start_N, change_of, steps, lambda end_N: last.check(name, start, end_N))

    def _joined(self, changes: Sequence[Change], state_N: torch.Tensor | None) -> Change:
        """The changes of neighbouring blocks as moves of single elements."""
        block = self.block_elements
        states = repeat(None) if state_N is None else torch.split(state_N, block)
        found = [one.sparse(state_N) for one, state_N in zip(changes, states, strict=False)]
        if len(found) == 1:
            return found[0]
        position_C = torch.cat([one.positions + at * block for at, one in enumerate(found)])
        return Change(position_C, torch.cat([one.move_C for one in found]))

    def most_entries(self, last_step: int) -> int:
        """Entries of the fullest block in the deltas of all steps up to that one."""
        deltas = [delta for step, delta in self._delta_of.items() if step <= last_step]
        of_blocks = (
            zip(*(delta.num_entries(name) for delta in deltas), strict=True)
            for name in self._first_delta.tensors
        )
        return max(map(sum, chain.from_iterable(of_blocks)), default=0)

    def at(self, step: int) -> Snapshot:
        """The patterns of one step."""
        return _ReplayedStep(self, step, self._delta_of[step].tensors)

    def _chain(self, first_step: int, last_step: int) -> list[StepFile]:
        """The files to decode for the steps from first to last: from the last anchor on."""
        files = [file for file in self._manifest.facts.steps if file.step <= last_step]
        anchors = [file.step for file in files if file.kind == "anchor" and file.step <= first_step]
        return [file for file in files if not anchors or file.step >= anchors[-1]]

    def _whole_blocks(self, name: str, start: int, stop: int) -> tuple[int, int]:
        """The smallest span of whole blocks around [start, stop)."""
        block = self.block_elements
        num_elements = self._first_delta.tensors[name].num_elements
        return start // block * block, min(-(-stop // block) * block, num_elements)

    def _before(self, file: StepFile, name: str, first: int, last: int) -> torch.Tensor:
        """The base's elements where the chain begins with them, any where it begins alone."""
        schema = self._delta_of[file.step].tensors
        if file.kind == "anchor":
            return torch.empty(last - first, dtype=schema[name].dtype)
        if self._base is None:
            raise WindowError(
                f"{self._store.uri}: step {file.step} is stored as what changed since the base; "
                "give the base to read it"
            )
        start = patterns_of_base(self._manifest.facts.precision, self._base, schema)
        return start.read(name, first, last)

    def _again(self, file: StepFile, decode: Callable[[DeltaFile], Found]) -> Found:
        """Decode the file of a step; what arrives damaged is read again."""
        for attempt in range(1, NUM_READS + 1):
            try:
                return decode(self._delta_of[file.step])
            except WindowError as error:
                self._check_file(file, error)
                if attempt == NUM_READS:
                    raise
                if isinstance(self._reader, BlockCache):
                    self._reader.clear()
        raise AssertionError

    def _check_before_anchor(
        self, step: int, last_step: int, name: str, first: int, state_N: torch.Tensor
    ) -> None:
        """Check the last step of a replay, and those that an anchor follows."""
        if step == last_step or step in self._before_anchor:
            self._delta_of[step].check(name, first, state_N)

    def _check_file(self, file: StepFile, error: WindowError) -> None:
        """Raise an error that names both digests, unless the stored file is as it should be."""
        expected = self._manifest.files[file.key]
        found = find_damage(self._store, file.key, expected)
        if found is not None:
            raise WindowError(
                f"{self._store.uri}: step {file.step}: {file.key} is damaged: expected sha256 "
                f"{expected.sha256}, found {found.sha256}; copy the file again, or train from the "
                "step before"
            ) from error

    def _open(self, file: StepFile) -> DeltaFile:
        found, expected = self._reader.size(file.key), self._manifest.files[file.key].size_bytes
        if found != expected:
            size = "is missing" if found is None else f"has {found} bytes"
            raise WindowError(
                f"{self._store.uri}/{file.key}: {size}, its manifest says {expected}; "
                f"step {file.step} is damaged, so copy or train it again"
            )
        for _ in range(NUM_READS - 1):
            try:
                return DeltaFile(self._reader, file.key)
            except WindowError as error:
                self._check_file(file, error)
                if isinstance(self._reader, BlockCache):
                    self._reader.clear()
        return DeltaFile(self._reader, file.key)


@dataclass(frozen=True)
class _ReplayedStep:
    """One step of a Replay as a Snapshot."""

    replay: Replay
    step: int
    tensors: Mapping[str, TensorInfo]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        stop = self.tensors[name].num_elements if stop is None else stop
        return next(self.replay.rows(name, start, stop, (self.step,)))
