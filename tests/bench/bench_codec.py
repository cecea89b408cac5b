"""What the codec of the window store costs and saves on the reference window.

    python tests/bench/bench_codec.py FOLDER [--every 4]

FOLDER holds a window made by reference_window.py, and is made when it is missing. Times are medians
over the measured steps.

- Encoding reads both snapshots from the page cache and writes the delta file; the full checkpoint
  is written, synced to disk and uploaded to a local S3 server.
- Decoding makes the tensors of a step, one after the other on one thread, from those of the step
  before and its delta file; a plain read makes them from the full checkpoint. Both start from the
  page cache (warm) and from the disk (cold).

The bounds are entropies per step, of what a code would need that knows the step's statistics:
- independent: every element changes with one probability, and by moves of one distribution;
- by size: the same, separately for each exponent of the old value.
The codec packs moves by size and positions independently, so it lies between the two.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from reference_window import build_reference_window

from relex.checkpoints import Checkpoint
from relex.storage import Store, open_store
from relex.storage.embedded import embedded_s3
from relex.storage.folder import FolderStore
from relex.window.codec import DeltaFile, DeltaSnapshot, Snapshot, block_spans, write_delta

BUCKET = "bench"
WEIGHTS = "model.safetensors"
EXPONENT_BIT = 7
NUM_EXPONENTS = 256
PIECE_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class StepCost:
    """One measured step; times in seconds."""

    step: int
    full_bytes: int
    delta_bytes: int
    changed_fraction: float
    independent_bytes: float
    by_size_bytes: float
    encode_seconds: float
    save_seconds: float
    upload_seconds: float
    warm_decode_seconds: float
    warm_read_seconds: float
    cold_decode_seconds: float
    cold_read_seconds: float


def main() -> None:
    options = _options()
    if not options.folder.is_dir():
        build_reference_window(options.folder, num_steps=options.steps)
    work = Path(tempfile.mkdtemp(prefix=".bench-codec-", dir=options.folder))
    try:
        with embedded_s3(work / "s3", BUCKET) as connection:
            store = open_store(f"s3://{BUCKET}/window", connection)
            costs = []
            for step in range(1, options.steps + 1, options.every):
                costs.append(measure(options.folder, step, work, store))
                _print_step(costs[-1])
        _print_summary(costs)
    finally:
        shutil.rmtree(work)


def measure(folder: Path, step: int, work: Path, store: Store) -> StepCost:
    previous = Checkpoint(folder / ("base" if step == 1 else f"step_{step - 1}"))
    current = Checkpoint(folder / f"step_{step}")
    changed_fraction, independent_bytes, by_size_bytes = entropies(previous, current)
    path, copy = work / "delta.safetensors", work / "full.safetensors"
    encode_seconds = _seconds(lambda: write_delta(path, current, previous))
    snapshot = DeltaSnapshot(DeltaFile(FolderStore(work), path.name), previous)
    return StepCost(
        step=step,
        full_bytes=(current.folder / WEIGHTS).stat().st_size,
        delta_bytes=path.stat().st_size,
        changed_fraction=changed_fraction,
        independent_bytes=independent_bytes,
        by_size_bytes=by_size_bytes,
        encode_seconds=encode_seconds,
        save_seconds=_seconds(lambda: _save(current.folder / WEIGHTS, copy)),
        upload_seconds=_seconds(lambda: store.put_file("full.safetensors", copy)),
        warm_decode_seconds=_seconds(lambda: _read_all(snapshot)),
        warm_read_seconds=_seconds(lambda: _read_all(current)),
        cold_decode_seconds=_cold_seconds(snapshot, path, previous.folder / WEIGHTS),
        cold_read_seconds=_cold_seconds(current, current.folder / WEIGHTS),
    )


def entropies(previous: Snapshot, current: Snapshot) -> tuple[float, float, float]:
    """Changed fraction, and the two bounds in bytes, for bfloat16 snapshots."""
    num_elements_E = np.zeros(NUM_EXPONENTS)
    exponents, moves = [], []
    for name, info in current.tensors.items():
        for span in block_spans(info.num_elements, PIECE_ELEMENTS):
            old_N = previous.read(name, *span).view(torch.int16).numpy()
            new_N = current.read(name, *span).view(torch.int16).numpy()
            exponent_N = (old_N.view(np.uint16) >> EXPONENT_BIT) & (NUM_EXPONENTS - 1)
            num_elements_E += np.bincount(exponent_N, minlength=NUM_EXPONENTS)
            changed = np.flatnonzero(old_N != new_N)
            exponents.append(exponent_N[changed])
            moves.append((new_N - old_N)[changed])
    exponent_C, move_C = np.concatenate(exponents), np.concatenate(moves)
    num_elements, num_changed = num_elements_E.sum(), len(move_C)
    independent_bits = _mask_bits(num_elements, num_changed) + _value_bits(move_C)
    by_size_bits = sum(
        _mask_bits(num_elements_E[exponent], np.count_nonzero(exponent_C == exponent))
        + _value_bits(move_C[exponent_C == exponent])
        for exponent in np.flatnonzero(num_elements_E)
    )
    return num_changed / num_elements, independent_bits / 8, by_size_bits / 8


def _mask_bits(num_elements: float, num_changed: float) -> float:
    """Bits that say which of the elements changed."""
    counts = np.array([num_changed, num_elements - num_changed])
    return _bits(counts[counts > 0])


def _value_bits(values: npt.NDArray[np.int16]) -> float:
    return _bits(np.unique(values, return_counts=True)[1])


def _bits(counts: npt.NDArray[np.generic]) -> float:
    """Entropy of symbols drawn with these counts, times their number."""
    return float(-(counts * np.log2(counts / counts.sum())).sum()) if len(counts) else 0.0


def _save(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _read_all(snapshot: Snapshot) -> None:
    for name in snapshot.tensors:
        snapshot.read(name)


def _cold_seconds(snapshot: Snapshot, *files: Path) -> float:
    """Time to read everything when no file is in the page cache."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # only pages that are safe can be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _seconds(lambda: _read_all(snapshot))


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _print_step(cost: StepCost) -> None:
    print(
        f"step {cost.step:3d}: changed {cost.changed_fraction:.2%}, "
        f"bytes {cost.delta_bytes / cost.full_bytes:.3%} of full, bound "
        f"{cost.independent_bytes / cost.full_bytes:.3%} independent, "
        f"{cost.by_size_bytes / cost.full_bytes:.3%} by size",
        flush=True,
    )


def _print_summary(costs: list[StepCost]) -> None:
    full_bytes = sum(cost.full_bytes for cost in costs)

    def share(num_bytes: float) -> str:
        return f"{num_bytes / full_bytes:.3%}"

    def median(seconds: Callable[[StepCost], float]) -> float:
        return statistics.median(map(seconds, costs))

    encode = median(lambda cost: cost.encode_seconds)
    store = median(lambda cost: cost.save_seconds + cost.upload_seconds)
    decode = median(lambda cost: cost.warm_decode_seconds)
    read = median(lambda cost: cost.warm_read_seconds)
    cold_decode = median(lambda cost: cost.cold_decode_seconds)
    cold_read = median(lambda cost: cost.cold_read_seconds)
    print(f"changed per step     {statistics.mean(cost.changed_fraction for cost in costs):.2%}")
    print(f"bytes of full        {share(sum(cost.delta_bytes for cost in costs))}")
    print(f"bound, independent   {share(sum(cost.independent_bytes for cost in costs))}")
    print(f"bound, by size       {share(sum(cost.by_size_bytes for cost in costs))}")
    print(f"encode               {encode:.3f} s, {full_bytes / len(costs) / encode / 1e6:.0f} MB/s")
    print(f"write, sync, upload  {store:.3f} s: {store / encode:.1f} x encode")
    print(f"decode, plain read   {decode:.3f} s, {read:.3f} s warm: {decode / read:.2f} x")
    print(
        f"decode, plain read   {cold_decode:.3f} s, {cold_read:.3f} s cold: "
        f"{cold_decode / cold_read:.2f} x"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--every", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
