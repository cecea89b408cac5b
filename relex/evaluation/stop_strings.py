"""Ends a row of a transformers batch when its completion holds a stop string."""

from collections.abc import Sequence
from typing import Any

import torch


class StopStrings:
    """A stopping criterion. B rows, T tokens.

    The one of transformers needs a tokenizer that can write "abcdef", and also looks at the prompt.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str], num_prompt_tokens: int) -> None:
        """`num_prompt_tokens`: length of the padded prompts, where the completions begin."""
        self._tokenizer, self._stop, self._start = tokenizer, tuple(stop), num_prompt_tokens
        # Every token writes a byte at least, so that as many tokens hold the longest string.
        self._num_tokens = max(len(string.encode()) for string in stop)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """Whether each row is done, B, from tokens BxT."""
        start = max(self._start, input_ids.shape[1] - self._num_tokens)
        texts = self._tokenizer.batch_decode(input_ids[:, start:], skip_special_tokens=True)
        done = [any(string in text for string in self._stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)
