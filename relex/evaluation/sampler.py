"""Sampling in which every row of a batch has a random stream of its own."""

from collections.abc import Sequence

import torch

SMALLEST = torch.finfo(torch.float32).tiny


class SeededSampler:
    """A logits processor for transformers that turns greedy search into sampling.

    The argmax of `log p + Gumbel noise` is a draw from p (Gumbel-max trick, Maddison et al. 2014).
    Each row takes its noise from a generator of its own, so a draw depends on the row's seed and
    not on the other rows of the batch.
    B rows, V tokens of the vocabulary.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        """`temperature` 0 is greedy; `top_p` keeps the smallest set of tokens with that mass."""
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature, self._top_p = temperature, top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores BxV to be maximised, from logits BxV."""
        logits_BV = scores.float()
        if self._temperature == 0:
            return logits_BV
        logits_BV = keep_nucleus(logits_BV / self._temperature, self._top_p)
        return logits_BV + self._gumbel(logits_BV.shape[1]).to(logits_BV.device)

    def _gumbel(self, num_tokens: int) -> torch.Tensor:
        """Noise BxV, drawn on the CPU so that a seed means the same on every device."""
        uniform_BV = torch.stack([torch.rand(num_tokens, generator=g) for g in self._generators])
        return -torch.log(-torch.log(uniform_BV.clamp(min=SMALLEST)))


def keep_nucleus(logits_BV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits with -inf outside the smallest set of tokens whose probabilities reach `top_p`."""
    if top_p >= 1:
        return logits_BV
    sorted_BV, order_BV = logits_BV.sort(dim=1, descending=True)
    probability_BV = sorted_BV.softmax(dim=1)
    mass_before_BV = probability_BV.cumsum(dim=1) - probability_BV
    sorted_BV = sorted_BV.masked_fill(mass_before_BV >= top_p, -torch.inf)
    return torch.empty_like(logits_BV).scatter(1, order_BV, sorted_BV)
