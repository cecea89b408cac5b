from collections.abc import Iterable
from typing import Any

import pytest
import torch

from relex.candidates import BASE
from relex.checkpoints import TOY_BASE, Checkpoint, NamedTensor
from relex.errors import EngineError
from relex.evaluation.vllm_worker import CandidateLoader
from relex.evaluation.weight_source import WeightSource

SKIPPED = "model.norm.weight"
NAMES = list(Checkpoint(TOY_BASE).tensors)


class Model(torch.nn.Module):
    """As much of a vLLM model as loading needs; it passes over one weight without a word."""

    def __init__(self, skipped: str) -> None:
        super().__init__()
        self._skipped = skipped

    def named_parameters(self, *_: Any, **__: Any) -> Any:
        return [(name, None) for name in NAMES]

    def load_weights(self, weights: Iterable[NamedTensor]) -> set[str]:
        return {name for name, _ in weights if name != self._skipped}


class Runner:
    dtype = torch.bfloat16

    def __init__(self, skipped: str) -> None:
        self._model = Model(skipped)

    def get_model(self) -> Model:
        return self._model


class Worker(CandidateLoader):
    """vLLM mixes the loader into a class that has these."""

    device = torch.device("cpu")

    def __init__(self, skipped: str) -> None:
        self.model_runner = Runner(skipped)

    def reload_weights(self, weights_iterator: Iterable[NamedTensor]) -> None:
        self.model_runner.get_model().load_weights(weights_iterator)


def load_base(skipped: str) -> None:
    loader = Worker(skipped)
    source = WeightSource(base=str(TOY_BASE))
    loader.load_candidate(source.model_dump_json(), BASE.model_dump_json())


def test_a_weight_that_vllm_passed_over_is_named() -> None:
    with pytest.raises(EngineError, match=f"kept the old values of 1 weights: {SKIPPED}"):
        load_base(SKIPPED)


def test_a_complete_load_is_accepted() -> None:
    load_base("")
