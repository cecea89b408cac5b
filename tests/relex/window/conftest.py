from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.storage import Store, open_store
from relex.window import WindowWriter, open_writer

Tensors = dict[str, torch.Tensor]


def tensors_at(step: int, dtype: torch.dtype = torch.float32) -> Tensors:
    random = torch.Generator().manual_seed(step)
    return {
        "a.weight": torch.randn(5, 3, generator=random).to(dtype),
        "b.weight": torch.randn(7, generator=random).to(dtype),
    }


@pytest.fixture
def snapshot() -> Callable[..., Tensors]:
    """The tensors of a step, always the same."""
    return tensors_at


@pytest.fixture
def spooled(tmp_path) -> Callable[..., Path]:
    """Writes a step's tensors, or others, to a file as training spools them."""

    def write(step: int, tensors: Tensors | None = None) -> Path:
        path = tmp_path / f"spooled-{step}.safetensors"
        save_file(tensors_at(step) if tensors is None else tensors, path)
        return path

    return write


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path) -> Store:
    """Each of the two places that a window can be in."""
    if request.param == "folder":
        return open_store(str(tmp_path / "window"))
    return request.getfixturevalue("s3").store("window")


@pytest.fixture
def fill(spooled) -> Callable[..., WindowWriter]:
    """Writes a whole window."""

    def write(store: Store, steps: tuple[int, ...] = (1, 2, 4)) -> WindowWriter:
        writer = open_writer(store, "base-digest", "float32", steps)
        for step in steps:
            writer.append(step, spooled(step))
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
