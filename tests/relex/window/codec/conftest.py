from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from relex.storage.folder import FolderStore
from relex.window.codec import DeltaFile, write_delta
from tests.snapshots import TensorsAtHand

Tensors = Mapping[str, torch.Tensor]


@pytest.fixture
def small_blocks(monkeypatch) -> int:
    """Blocks of so few elements that small tensors have several."""
    monkeypatch.setattr("relex.window.codec.delta_writer.BLOCK_ELEMENTS", 64)
    return 64


@pytest.fixture
def delta_of(tmp_path) -> Callable[..., DeltaFile]:
    """Writes tensors, encoded against others, to a file of that name and opens it."""

    def write(name: str, current: Tensors, previous: Tensors | None = None) -> DeltaFile:
        before = None if previous is None else TensorsAtHand(previous)
        write_delta(Path(tmp_path / name), TensorsAtHand(current), before)
        return DeltaFile(FolderStore(tmp_path), name)

    return write
