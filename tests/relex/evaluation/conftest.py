from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from relex.candidates import Candidate
from relex.checkpoints import TOY_BASE, Checkpoint, NamedTensor, write_checkpoint
from relex.config import Recipe, check_recipe
from relex.evaluation.weight_source import WeightSource

NOISE = 0.02


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The toy's matrices are so small that threads cost more than they give."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="session")
def toy_recipe() -> Callable[..., Recipe]:
    """The toy's recipe with other fields of `evaluation`."""

    def make(**evaluation: Any) -> Recipe:
        sampling = {"max_completion_tokens": 8, "max_context_tokens": 64, "grader": "exact_match"}
        return check_recipe(
            {
                "name": "toy",
                "base": {"path": "toy"},
                "problems": {
                    "train": {"kind": "toy", "split": "train"},
                    "validation": {"kind": "toy", "split": "validation"},
                    "test": [{"name": "additions", "source": {"kind": "toy", "split": "test"}}],
                },
                "rewards": [{"reward": "exact_match"}],
                "training": {"steps": 2, "learning_rate": 1e-5},
                "extrapolation": {"targets": [4]},
                "evaluation": {**sampling, **evaluation},
            },
            "test",
        )

    return make


@pytest.fixture(scope="session")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Hugging Face checkpoints, steps 1 and 2: the toy's base with more and more noise."""
    folder = tmp_path_factory.mktemp("snapshots")
    base = Checkpoint(TOY_BASE)
    for step in (1, 2):
        write_checkpoint(folder / f"checkpoint-{step}", base, noisy(base, step * NOISE))
    return folder


@pytest.fixture(scope="session")
def source(snapshots: Path) -> WeightSource:
    return WeightSource(base=str(TOY_BASE), window=str(snapshots))


@pytest.fixture(scope="session")
def noisy_candidate() -> Candidate:
    return Candidate(step=2)


def noisy(base: Checkpoint, noise: float) -> Iterator[NamedTensor]:
    for number, name in enumerate(base.tensors):
        tensor = base.read_tensor(name).float()
        generator = torch.Generator().manual_seed(number)
        yield name, tensor + noise * tensor.std() * torch.randn(tensor.shape, generator=generator)
