from collections.abc import Callable

import pytest
import torch

from relex.candidates import BASE, Candidate
from relex.config import Recipe, Sampling
from relex.errors import EngineError
from relex.evaluation.canary import Canary
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.weight_source import WeightSource

REQUESTS = [Request(prompt_token_ids=(2 + digit, 12, 5, 13), seed=digit) for digit in range(10)]


class Wavering(TransformersEngine):
    """Another last answer, as rounding may give, as often as `num_wrong` says."""

    num_wrong = 0
    unreadable: frozenset[str] = frozenset()

    def generate(
        self, requests: list[Request], sampling: Sampling, on_progress: OnProgress
    ) -> list[Completion]:
        completions = super().generate(requests, sampling, on_progress)
        if self.num_wrong:
            self.num_wrong -= 1
            completions[-1] = completions[-1].model_copy(update={"text": "another"})
        return completions

    def unlike_layers(self) -> set[str]:
        return super().unlike_layers() | self.unreadable


@pytest.fixture
def engine(toy_recipe: Callable[..., Recipe], source: WeightSource) -> Wavering:
    return Wavering(
        EngineConfig(source=source, evaluation=toy_recipe().evaluation, dtype="bfloat16"), "cpu"
    )


def keep_a_weight(engine: Wavering) -> None:
    """Swaps no longer reach the model's first layer, which holds something else."""
    name = "model.layers.1.mlp.down_proj.weight"
    kept = engine._weights[name]
    engine._weights[name] = kept.detach().clone()
    with torch.no_grad():
        kept.add_(torch.randn(kept.shape, generator=torch.Generator().manual_seed(0)))


def test_a_sane_engine_passes_after_another_candidate(
    engine: Wavering, noisy_candidate: Candidate
) -> None:
    canary = Canary(engine, REQUESTS)
    engine.swap(noisy_candidate)
    canary.check_weights(noisy_candidate)
    canary.check_answers()
    canary.check_weights(BASE)


def test_an_engine_that_does_not_take_a_weight_is_found_out_by_its_checksums(
    engine: Wavering, noisy_candidate: Candidate
) -> None:
    canary = Canary(engine, REQUESTS)
    keep_a_weight(engine)
    engine.swap(noisy_candidate)
    message = r"observed-2: .*cannot be trusted: .* not those of the candidate in 1 layer\(s\): 1;"
    with pytest.raises(EngineError, match=message):
        canary.check_weights(noisy_candidate)


def test_where_it_cannot_be_read_back_its_answers_tell(engine: Wavering) -> None:
    engine.unreadable = frozenset({"1"})
    canary = Canary(engine, REQUESTS)
    keep_a_weight(engine)
    canary.check_weights(BASE)
    with pytest.raises(EngineError, match=r"cannot be trusted: with the base swapped back in"):
        canary.check_answers()


def test_answers_that_differ_once_are_asked_for_again(
    engine: Wavering, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = Canary(engine, REQUESTS)
    engine.num_wrong = 1
    canary.check_answers()
    assert engine.num_wrong == 0
    assert capsys.readouterr().out == ""


def test_answers_that_differ_stand_when_every_weight_is_the_base_s(
    engine: Wavering, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = Canary(engine, REQUESTS)
    engine.num_wrong = 2
    canary.check_answers()
    said = capsys.readouterr().out
    assert "canary request 9 gives 'another'" in said
    assert "every weight is the base's, so this is rounding" in said


def test_a_layer_that_cannot_be_read_back_leaves_the_doubt(engine: Wavering) -> None:
    engine.unreadable = frozenset({"3"})
    canary = Canary(engine, REQUESTS)
    engine.num_wrong = 2
    with pytest.raises(EngineError, match=r"request 9 gives 'another', at the start it gave"):
        canary.check_answers()
