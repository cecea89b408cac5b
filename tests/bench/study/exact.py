"""Exact accuracy: how likely the right answer to each question is.

All toys have one right answer to each question, so the chance that a sampled answer is right is
the product of the chances of its tokens: one forward pass gives a candidate's accuracy on any
number of questions, at any temperature, without the noise of sampling.

Q questions, T tokens of prompt and answer, V tokens of the vocabulary, H the temperatures.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from relex.problems import Problem

TEMPERATURES = (1.0, 0.5, 0.0)
IGNORED_LABEL = -100


class Questions:
    """Questions with their right answers, as one batch of tokens."""

    def __init__(self, tokenizer, problems: Sequence[Problem]) -> None:
        rows, labels = [], []
        for problem in problems:
            prompt = tokenizer(problem.question)["input_ids"]
            answer = [*tokenizer(problem.answer)["input_ids"], tokenizer.eos_token_id]
            rows.append(torch.tensor(prompt + answer))
            labels.append(torch.tensor([IGNORED_LABEL] * len(prompt) + answer))
        # What is padded lies to the right, where a causal model does not look.
        self._ids_QT = pad_sequence(rows, True, tokenizer.pad_token_id)
        label_QT = pad_sequence(labels, True, IGNORED_LABEL)[:, 1:]
        self._counts_QT = label_QT != IGNORED_LABEL
        self._label_QT = label_QT.clamp(min=0)

    @torch.inference_mode()
    def logits(self, model) -> torch.Tensor:
        """Of every token after the first: (Q, T - 1, V), float64."""
        return model(input_ids=self._ids_QT).logits[:, :-1].double()

    def chances(self, logits_QTV: torch.Tensor) -> np.ndarray:
        """Chance of a right answer at every temperature, (Q, H), float64."""
        return np.stack([self._at(logits_QTV, heat) for heat in TEMPERATURES], axis=1)

    def _at(self, logits_QTV: torch.Tensor, temperature: float) -> np.ndarray:
        if not temperature:
            is_right_QT = logits_QTV.argmax(-1) == self._label_QT
            return (is_right_QT | ~self._counts_QT).all(1).double().numpy()
        log_QTV = (logits_QTV / temperature).log_softmax(-1)
        log_QT = log_QTV.gather(-1, self._label_QT.unsqueeze(-1)).squeeze(-1)
        return (log_QT * self._counts_QT).sum(1).exp().numpy()
