"""What the codec of the window store costs and saves on the reference window.

    python tests/bench/bench_codec.py FOLDER [--every 4]

FOLDER holds a window made by reference_window.py, and is made when it is missing. Times are medians
over the measured steps.

- Encoding reads both snapshots from the page cache and writes the delta file; the full checkpoint
  is written, synced to disk and uploaded to a local S3 server.
- Decoding in place turns the tensors of the step before, which are in memory, into those of this
  one, as a replay does; a plain read puts the full checkpoint into the same memory. Decoding from
  files also reads the step before; then both make new tensors, all of which are kept. Everything
  runs on one thread; in CPU seconds, which other work on the machine disturbs less, from the page
  cache, and in seconds from the disk (cold).
- Training goes on while a snapshot is encoded; it waits only until the snapshot is spooled. What a
  step of training computes at the least is one forward and backward pass over its completions: here
  NUM_TOKENS tokens, on the CPU. A real step has a hundred times as many, and generates them first.

The bounds are entropies per step, of what a code would need that knows the step's statistics:
- independent: every element changes with one probability, and by moves of one distribution;
- by size: the same, separately for each exponent of the old value.
The codec adds moves without knowing the old values, so the first is its bound.
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
from transformers import AutoModelForCausalLM

from relex.checkpoints import Checkpoint, write_tensor_file
from relex.storage import Store, open_store
from relex.storage.embedded import embedded_s3
from relex.storage.folder import FolderStore
from relex.window.codec import DeltaFile, Snapshot, block_spans, write_delta
from tests.snapshots import DeltaSnapshot

BUCKET = "bench"
WEIGHTS = "model.safetensors"
EXPONENT_BIT = 7
NUM_EXPONENTS = 256
PIECE_ELEMENTS = 1 << 20
NUM_TOKENS = 512


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
    encode_cpu_seconds: float
    spool_seconds: float
    save_seconds: float
    upload_seconds: float
    decode_in_place_cpu_seconds: float
    read_in_place_cpu_seconds: float
    decode_cpu_seconds: float
    read_cpu_seconds: float
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
        _print_training(costs, training_seconds(options.folder / "base"))
    finally:
        shutil.rmtree(work)


def measure(folder: Path, step: int, work: Path, store: Store) -> StepCost:
    previous = Checkpoint(folder / ("base" if step == 1 else f"step_{step - 1}"))
    current = Checkpoint(folder / f"step_{step}")
    changed_fraction, independent_bytes, by_size_bytes = entropies(previous, current)
    path, copy, spooled = (work / name for name in ("delta", "full", "spooled"))
    encode_seconds, encode_cpu_seconds = _times(lambda: write_delta(path, current, previous))
    delta = DeltaFile(FolderStore(work), path.name)
    snapshot = DeltaSnapshot(delta, previous)
    tensors = _read_all(previous)
    whole = ((name, current.read_tensor(name)) for name in current.tensors)
    return StepCost(
        step=step,
        full_bytes=(current.folder / WEIGHTS).stat().st_size,
        delta_bytes=path.stat().st_size,
        changed_fraction=changed_fraction,
        independent_bytes=independent_bytes,
        by_size_bytes=by_size_bytes,
        encode_seconds=encode_seconds,
        encode_cpu_seconds=encode_cpu_seconds,
        spool_seconds=_seconds(lambda: write_tensor_file(spooled, current.tensors, whole, {})),
        save_seconds=_seconds(lambda: _save(current.folder / WEIGHTS, copy)),
        upload_seconds=_seconds(lambda: store.put_file("full", copy)),
        decode_in_place_cpu_seconds=_cpu_seconds(lambda: _decode_in_place(delta, tensors)),
        read_in_place_cpu_seconds=_cpu_seconds(lambda: _read_in_place(current, tensors)),
        decode_cpu_seconds=_cpu_seconds(lambda: _read_all(snapshot)),
        read_cpu_seconds=_cpu_seconds(lambda: _read_all(current)),
        cold_decode_seconds=_cold_seconds(snapshot, path, previous.folder / WEIGHTS),
        cold_read_seconds=_cold_seconds(current, current.folder / WEIGHTS),
    )


def training_seconds(base: Path) -> float:
    """One forward and backward pass over NUM_TOKENS tokens."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    token_ids_1T = torch.arange(NUM_TOKENS)[None]
    return _seconds(lambda: model(token_ids_1T, labels=token_ids_1T).loss.backward())


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


def _read_all(snapshot: Snapshot) -> dict[str, torch.Tensor]:
    return {name: snapshot.read(name) for name in snapshot.tensors}


def _decode_in_place(delta: DeltaFile, tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor_N in tensors.items():
        delta.decode(name, 0, tensor_N)


def _read_in_place(checkpoint: Checkpoint, tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor_N in tensors.items():
        checkpoint.read_into(name, 0, tensor_N)


def _cold_seconds(snapshot: Snapshot, *files: Path) -> float:
    """Time to read everything when no file is in the page cache."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())  # only pages that are safe can be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _seconds(lambda: _read_all(snapshot))


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of the CPU on all threads."""
    start, cpu_start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu_start


def _seconds(work: Callable[[], object]) -> float:
    return _times(work)[0]


def _cpu_seconds(work: Callable[[], object]) -> float:
    return _times(work)[1]


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
    print(f"changed per step     {statistics.mean(cost.changed_fraction for cost in costs):.2%}")
    print(f"bytes of full        {share(sum(cost.delta_bytes for cost in costs))}")
    print(f"bound, independent   {share(sum(cost.independent_bytes for cost in costs))}")
    print(f"bound, by size       {share(sum(cost.by_size_bytes for cost in costs))}")
    print(f"encode               {encode:.3f} s, {full_bytes / len(costs) / encode / 1e6:.0f} MB/s")
    print(f"write, sync, upload  {store:.3f} s: {store / encode:.1f} x encode")
    for label, decode, read in (
        (
            "in place, CPU",
            median(lambda cost: cost.decode_in_place_cpu_seconds),
            median(lambda cost: cost.read_in_place_cpu_seconds),
        ),
        (
            "from files, CPU",
            median(lambda cost: cost.decode_cpu_seconds),
            median(lambda cost: cost.read_cpu_seconds),
        ),
        (
            "from files, cold",
            median(lambda cost: cost.cold_decode_seconds),
            median(lambda cost: cost.cold_read_seconds),
        ),
    ):
        print(f"decode {label:16s} {decode:.3f} s, plain read {read:.3f} s: {decode / read:.2f} x")


def _print_training(costs: list[StepCost], pass_seconds: float) -> None:
    spool = statistics.median(cost.spool_seconds for cost in costs)
    encode = statistics.median(cost.encode_cpu_seconds for cost in costs)
    print(f"training waits       {spool:.3f} s for the spool")
    print(
        f"beside training      {encode:.3f} s of CPU to encode; a pass over {NUM_TOKENS} tokens "
        f"takes {pass_seconds:.1f} s: {encode / pass_seconds:.1%}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--every", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
