from collections.abc import Callable

import pytest
import torch

from relex.candidates import Candidate
from relex.config import Recipe
from relex.errors import EngineError
from relex.evaluation.canary import Canary
from relex.evaluation.engine import EngineConfig, Request
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.weight_source import WeightSource

REQUESTS = [Request(prompt_token_ids=(2 + digit, 12, 5, 13), seed=digit) for digit in range(10)]


@pytest.fixture
def engine(toy_recipe: Callable[..., Recipe], source: WeightSource) -> TransformersEngine:
    return TransformersEngine(
        EngineConfig(source=source, evaluation=toy_recipe().evaluation, dtype="bfloat16"), "cpu"
    )


def test_a_sane_engine_passes_after_another_candidate(
    engine: TransformersEngine, noisy_candidate: Candidate
) -> None:
    canary = Canary(engine, REQUESTS)
    engine.swap(noisy_candidate)
    canary.check()


def test_an_engine_that_keeps_a_weight_of_a_candidate_is_found_out(
    engine: TransformersEngine,
) -> None:
    canary = Canary(engine, REQUESTS)
    name = "model.layers.1.mlp.down_proj.weight"
    kept = engine._weights[name]
    engine._weights[name] = kept.detach().clone()  # swaps no longer reach the model
    with torch.no_grad():
        kept.add_(torch.randn(kept.shape, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(EngineError, match=r"cannot be trusted: with the base swapped back in"):
        canary.check()
