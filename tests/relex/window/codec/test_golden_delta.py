"""The format is pinned: files written by earlier versions stay readable, byte for byte the same.

The golden files were written by `golden_tensors` with zstd 1.5.7; another zstd may pack the same
streams into other bytes, which readers do not notice.
"""

from pathlib import Path

import pytest
import torch

from relex.storage.folder import FolderStore
from relex.window.codec import DeltaFile
from tests.snapshots import DeltaSnapshot, TensorsAtHand

GOLDEN = Path(__file__).parents[3] / "golden" / "delta"


def golden_tensors(step: int) -> dict[str, torch.Tensor]:
    """Tensors of all kinds of blocks, in whole numbers only, so that every machine agrees."""
    index = torch.arange(2000)
    few = (index % 67 == 5) & (step > 0)
    return {
        "unchanged": (index % 251).to(torch.uint8),
        "sparse": ((index * 7919 % 1009 + 16000) + few * (index % 3 - 1))
        .short()
        .view(torch.bfloat16),
        "dense": ((index * 7919 % 100003 + (1 << 29)) + step * (index % 301))
        .int()
        .view(torch.float32),
        "unrelated": (
            index % 3 if step else index * 48271 % 65537 * (index * 69621 % 65539) % (1 << 30)
        ).int(),
        "scalar": torch.tensor(step),
        "empty": torch.zeros(0, 3, dtype=torch.float16),
    }


def read_all(delta: DeltaFile, previous: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
    before = None if previous is None else TensorsAtHand(previous)
    snapshot = DeltaSnapshot(delta, before)
    return {name: snapshot.read(name).reshape(info.shape) for name, info in delta.tensors.items()}


@pytest.mark.parametrize(("name", "has_previous"), [("step", True), ("anchor", False)])
def test_the_bytes_are_those_of_the_golden_file(delta_of, tmp_path, name, has_previous) -> None:
    delta_of(name, golden_tensors(1), golden_tensors(0) if has_previous else None)
    golden = (GOLDEN / f"{name}.safetensors").read_bytes()
    assert (tmp_path / name).read_bytes() == golden


@pytest.mark.parametrize(("name", "has_previous"), [("step", True), ("anchor", False)])
def test_the_golden_file_gives_its_tensors(name, has_previous) -> None:
    delta = DeltaFile(FolderStore(GOLDEN), f"{name}.safetensors")
    found = read_all(delta, golden_tensors(0) if has_previous else None)
    for tensor, expected in golden_tensors(1).items():
        assert found[tensor].dtype == expected.dtype
        torch.testing.assert_close(found[tensor], expected, rtol=0, atol=0)


def test_the_golden_file_has_every_kind_of_block() -> None:
    delta = DeltaFile(FolderStore(GOLDEN), "step.safetensors")
    kinds = {
        block.facts.kind
        for name, info in delta.tensors.items()
        for block in delta.blocks(name, 0, info.num_elements)
    }
    assert kinds == {"unchanged", "sparse", "dense", "whole"}
