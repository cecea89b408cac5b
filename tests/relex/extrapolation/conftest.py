from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint, TensorInfo
from relex.digests import sha256_json
from relex.extrapolation import Factors, fit_factors
from relex.storage.folder import FolderStore
from relex.window import StoredWindow, open_stored_window, open_writer
from tests.snapshots import TensorsAtHand

Tensors = Mapping[str, torch.Tensor]


@dataclass
class MemoryWindow:
    """A window whose snapshots are tensors in memory."""

    snapshots: Mapping[int, Tensors]
    base_digest: str | None = None
    where: str = "memory"
    num_elements_read: int = field(default=0, compare=False)

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(self.snapshots)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        first = next(iter(self.snapshots.values()), {})
        return {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in first.items()}

    def read(self, step: int, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        elements = self.snapshots[step][name].reshape(-1)[start:stop]
        self.num_elements_read += elements.numel()
        return elements

    def read_rows(self, steps: Sequence[int], name: str, start: int, out_SN: torch.Tensor) -> None:
        for step, out_N in zip(steps, out_SN, strict=True):
            out_N.copy_(self.read(step, name, start, start + len(out_N)))

    def digest(self, steps=None, names=None) -> str:
        return sha256_json(list(self.snapshots))


@dataclass
class Lab:
    """Fits snapshots in memory against a base on disk."""

    folder: Path
    num_fits: int = 0

    def base(self, tensors: Tensors) -> Checkpoint:
        folder = self.folder / f"base-{sum(1 for _ in self.folder.iterdir())}"
        folder.mkdir()
        save_file(dict(tensors), folder / "model.safetensors", {"format": "pt"})
        return Checkpoint(folder)

    def window(self, snapshots: Mapping[int, Tensors]) -> MemoryWindow:
        return MemoryWindow(snapshots)

    def save(self, window: MemoryWindow) -> Path:
        """The window as a folder of checkpoints."""
        folder = self.folder / "window"
        for step, tensors in window.snapshots.items():
            (folder / f"step_{step}").mkdir(parents=True)
            save_file(
                dict(tensors), folder / f"step_{step}" / "model.safetensors", {"format": "pt"}
            )
        return folder

    def packed(self, window: MemoryWindow, base: Checkpoint) -> StoredWindow:
        """The same as a window of deltas."""
        store = FolderStore(self.folder / f"packed-{sum(1 for _ in self.folder.iterdir())}")
        writer = open_writer(store, base, "exact", window.steps)
        for step, tensors in window.snapshots.items():
            writer.append(step, TensorsAtHand(tensors))
        return open_stored_window(store.uri, base=base)

    def fit(self, snapshots: Mapping[int, Tensors], base: Checkpoint, **options: Any) -> Factors:
        return self.fit_window(MemoryWindow(snapshots), base, **options)

    def fit_window(self, window: MemoryWindow, base: Checkpoint, **options: Any) -> Factors:
        self.num_fits += 1
        out = self.folder / f"factors-{self.num_fits}"
        return fit_factors(window, base, out, **{"device": "cpu", **options})


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture(scope="session")
def new_lab() -> Callable[[Path], Lab]:
    """For tests that run many times, each in a folder of its own."""
    return Lab


@pytest.fixture
def memory_window() -> Callable[..., MemoryWindow]:
    return MemoryWindow
