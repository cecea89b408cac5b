"""How long training waits for snapshots.

    python tests/bench/bench_snapshots.py

A state of 100 million parameters, of which every one moves a little in each step, beside a trainer
that does nothing for `STEP_SECONDS` from one update to the next: written before it goes on
(`SnapshotSpool.keep`), and while it goes on (`PartWriter`).
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint
from relex.storage.folder import FolderStore
from relex.training.part import PartWriter, part_path
from relex.training.snapshots import SnapshotSpool, snapshot_schema
from relex.window import open_writer

NUM_TENSORS, ROWS, COLUMNS = 24, 1024, 4096
NUM_STEPS, STEP_SECONDS = 6, 5.0
State = dict[str, torch.Tensor]


def new_base(folder: Path) -> Checkpoint:
    folder.mkdir()
    weights = {f"layers.{i}": 0.02 * torch.randn(ROWS, COLUMNS) for i in range(NUM_TENSORS)}
    save_file({n: it.bfloat16() for n, it in weights.items()}, folder / "model.safetensors")
    return Checkpoint(folder)


def measure(root: Path, base: Checkpoint, in_background: bool) -> list[float]:
    """Seconds that training waits at each step."""
    state = {name: base.read_tensor(name).float() for name in base.tensors}
    store = FolderStore(root / "window")
    writer = open_writer(store, base, "bfloat16", tuple(range(1, NUM_STEPS + 1)))
    spool = SnapshotSpool(root / "spool", snapshot_schema(base, "bfloat16"), writer)
    part = PartWriter(spool.folder, spool.schema, spool.metadata)
    waits = []
    for step in range(1, NUM_STEPS + 1):
        for tensor in state.values():
            tensor.add_(torch.empty_like(tensor).uniform_(-1e-6, 1e-6))
        if in_background:
            waited = timed(lambda step=step: part.begin(step, state, spool.make_room))
            time.sleep(STEP_SECONDS)
            waited += timed(part.copied)
            spool.store(step, [part_path(spool.folder, step, 0)])
        else:
            waited = timed(lambda step=step: spool.keep(step, state))
            time.sleep(STEP_SECONDS)
        waits.append(waited)
    spool.wait()
    return waits


def timed(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def main() -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        base = new_base(Path(folder) / "base")
        for name, in_background in (("before", False), ("while", True)):
            waits = measure(Path(folder) / name, base, in_background)
            listed = ", ".join(f"{seconds:.2f}" for seconds in waits)
            print(f"{name} training goes on: {statistics.median(waits):.2f} s a step ({listed})")


if __name__ == "__main__":
    main()
