import pytest
import torch

from relex.evaluation.sampler import SeededSampler, keep_nucleus

NUM_ROWS = 20_000
PROBABILITIES = torch.tensor([0.5, 0.3, 0.15, 0.05])
UNUSED = torch.empty(0)


def draw(seeds: range | list[int], temperature: float = 1.0, top_p: float = 1.0) -> torch.Tensor:
    logits = PROBABILITIES.log().expand(len(seeds), -1)
    return SeededSampler(list(seeds), temperature, top_p)(UNUSED, logits).argmax(dim=1)


def frequencies(tokens: torch.Tensor) -> torch.Tensor:
    return torch.bincount(tokens, minlength=len(PROBABILITIES)) / len(tokens)


def assert_distribution(tokens: torch.Tensor, expected: torch.Tensor) -> None:
    """Every frequency within four standard errors."""
    error = (expected * (1 - expected) / len(tokens)).sqrt()
    assert bool(((frequencies(tokens) - expected).abs() <= 4 * error).all())


def test_tokens_follow_their_probabilities() -> None:
    assert_distribution(draw(range(NUM_ROWS)), PROBABILITIES)


def test_temperature_sharpens_as_the_softmax_does() -> None:
    expected = (PROBABILITIES.log() / 0.5).softmax(dim=0)
    assert_distribution(draw(range(NUM_ROWS), temperature=0.5), expected)


def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass() -> None:
    expected = torch.tensor([0.5, 0.3, 0.0, 0.0]) / 0.8
    assert_distribution(draw(range(NUM_ROWS), top_p=0.7), expected)


def test_temperature_zero_is_greedy() -> None:
    assert draw(range(100), temperature=0.0).tolist() == [0] * 100


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    together = draw([3, 1, 4, 15, 9])
    assert together.tolist() == [draw([seed]).item() for seed in (3, 1, 4, 15, 9)]


def test_a_second_token_takes_new_noise() -> None:
    logits = torch.zeros(1, 1000)
    sampler = SeededSampler([0], 1.0, 1.0)
    assert sampler(UNUSED, logits).argmax() != sampler(UNUSED, logits).argmax()


@pytest.mark.parametrize("top_p", [0.01, 0.5])
def test_the_likeliest_token_always_stays(top_p: float) -> None:
    kept = keep_nucleus(PROBABILITIES.log()[None], top_p).isfinite()
    assert kept.tolist() == [[True, False, False, False]]
