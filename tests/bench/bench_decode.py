"""How fast deltas become Gram matrices when nothing else is to be done: `make bench` runs it.

    python tests/bench/bench_decode.py [--parameters 1.54e9] [--steps 16]

Blocks of a Qwen2.5-1.5B at 16 steps that move as in RL. A few of them are made, encoded and gone
through again and again, as many as the model has: deltas alone, so that no disk has to hold the
snapshots (49 GB) and no file is read. Figures are changed elements per second on one thread and on
more, by the clock and for each second of a core, of decoding alone and of all that a fit does with
a piece before it writes.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from reference_window import WEIGHT_SPREAD, Motion, moves
from rich.console import Console
from rich.table import Table

from relex.device import num_cores, one_torch_thread
from relex.extrapolation.displacements import BLOCK_ELEMENTS, Piece
from relex.extrapolation.gram import piece_gram
from relex.memory import keep_freed_memory
from relex.window.codec import EncodedBlock, decode_blocks, encode_block
from relex.window.codec.patterns import checksum
from relex.window.moved import Moved

NUM_ELEMENTS = 1 << 20
NUM_MADE = 8
WIDTH_BYTES = torch.bfloat16.itemsize


@dataclass(frozen=True)
class Made:
    """One block: the base and the encoded steps."""

    base_N: torch.Tensor
    blocks: list[EncodedBlock]

    @property
    def num_changed(self) -> int:
        return sum(block.facts.num_changed for block in self.blocks)

    def decode(self) -> None:
        decode_blocks(self.blocks, WIDTH_BYTES)

    def fit(self) -> None:
        """What PieceReader and PieceFitter do with it before anything is written."""
        steps = range(1, len(self.blocks) + 1)
        changes = dict(zip(steps, decode_blocks(self.blocks, WIDTH_BYTES), strict=True))
        moved = Moved(self.base_N, changes, steps, self._check)
        num_moved = len(moved.position_M)
        num_padded = -(-num_moved // BLOCK_ELEMENTS) * BLOCK_ELEMENTS
        start_M = torch.zeros(num_padded, dtype=self.base_N.dtype)
        start_M[:num_moved] = self.base_N[moved.position_M]
        snapshot_SM = torch.zeros(len(steps), num_padded, dtype=self.base_N.dtype)
        moved.fill(snapshot_SM[:, :num_moved])
        piece = Piece(self.base_N, moved.position_M, start_M, snapshot_SM)
        piece_gram(piece)

    def _check(self, end_N: torch.Tensor) -> None:
        assert checksum(end_N) == self.blocks[-1].facts.checksum


def make(seed: int, num_steps: int) -> Made:
    random = np.random.Generator(np.random.SFC64(seed))
    weights_N = random.standard_normal(NUM_ELEMENTS, dtype=np.float32) * WEIGHT_SPREAD
    master_N = torch.from_numpy(weights_N).bfloat16().float()
    snapshots = [master_N.bfloat16()]
    for move_N in moves(NUM_ELEMENTS, Motion(), random):
        master_N += move_N
        snapshots.append(master_N.bfloat16())
        if len(snapshots) > num_steps:
            break
    return Made(snapshots[0], [encode_block(old, new) for old, new in pairwise(snapshots)])


def changes_per_second(
    made: list[Made], num_blocks: int, num_threads: int, work: Callable[[Made], None]
) -> tuple[float, float]:
    """By the clock, and for each second of a core."""
    jobs = [made[number % len(made)] for number in range(num_blocks)]
    with ThreadPoolExecutor(num_threads, initializer=one_torch_thread) as pool:
        list(pool.map(work, made))  # threads and their memory are there before the clock starts
        started, cpu_started = time.perf_counter(), time.process_time()
        list(pool.map(work, jobs))
        seconds = time.perf_counter() - started, time.process_time() - cpu_started
    num_changed = sum(job.num_changed for job in jobs)
    return num_changed / seconds[0], num_changed / seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parameters", type=float, default=1.54e9)
    parser.add_argument("--steps", type=int, default=16)
    options = parser.parse_args()
    keep_freed_memory()
    one_torch_thread()
    made = [make(seed, options.steps) for seed in range(NUM_MADE)]
    num_blocks = -(-int(options.parameters) // NUM_ELEMENTS)
    changed = sum(one.num_changed for one in made) / (NUM_MADE * NUM_ELEMENTS * options.steps)
    table = Table(
        "threads",
        "work",
        "million changes/s",
        "for each core second",
        title=f"{num_blocks} blocks x {options.steps} steps, {changed:.2%} change per step",
    )
    for num_threads in sorted({1, 2, num_cores()}):
        for title, work in (("decoding", Made.decode), ("all of a fit", Made.fit)):
            speeds = changes_per_second(made, num_blocks, num_threads, work)
            table.add_row(str(num_threads), title, *(f"{speed / 1e6:.1f}" for speed in speeds))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
