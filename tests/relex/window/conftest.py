from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import Checkpoint
from relex.storage import Store, open_store
from relex.window import WindowWriter, open_writer
from tests.snapshots import TensorsAtHand

Tensors = dict[str, torch.Tensor]


def tensors_at(step: int, dtype: torch.dtype = torch.float32) -> Tensors:
    random = torch.Generator().manual_seed(step)
    return {
        "a.weight": torch.randn(5, 3, generator=random).to(dtype),
        "b.weight": torch.randn(7, generator=random).to(dtype),
    }


@pytest.fixture
def tensors() -> Callable[..., Tensors]:
    """The tensors of a step, always the same."""
    return tensors_at


@pytest.fixture
def snapshot() -> Callable[..., TensorsAtHand]:
    """The snapshot of a step, always the same."""
    return lambda *arguments: TensorsAtHand(tensors_at(*arguments))


@pytest.fixture
def base(tmp_path) -> Checkpoint:
    """A bfloat16 checkpoint with the tensors of all steps here."""
    (tmp_path / "base").mkdir()
    save_file(tensors_at(0, torch.bfloat16), tmp_path / "base/model.safetensors")
    return Checkpoint(tmp_path / "base")


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path) -> Store:
    """Each of the two places that a window can be in."""
    if request.param == "folder":
        return open_store(str(tmp_path / "window"))
    return request.getfixturevalue("s3").store("window")


@pytest.fixture
def fill(base, snapshot) -> Callable[..., WindowWriter]:
    """Writes a whole window."""

    def write(
        store: Store,
        steps: tuple[int, ...] = (1, 2, 4),
        precision: str = "float32",
        anchor_every_steps: int = 100,
    ) -> WindowWriter:
        writer = open_writer(store, base, precision, steps, anchor_every_steps)
        for step in steps:
            writer.append(step, snapshot(step))
        writer.finish()
        return writer

    return write


@pytest.fixture
def checkpoints(tmp_path) -> Callable[..., Path]:
    """A folder of Hugging Face checkpoints by name of their sub-folder."""

    def write(by_name: dict[str, Tensors]) -> Path:
        root = tmp_path / "checkpoints"
        root.mkdir()
        for name, tensors in by_name.items():
            (root / name).mkdir(parents=True)
            save_file(tensors, root / name / "model.safetensors")
        return root

    return write
