"""Generation with transformers alone, for machines on which vLLM does not run."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
)

from relex.candidates import Candidate
from relex.checkpoints import Checkpoint
from relex.checkpoints.model_state import place, views_by_base_name
from relex.config import Sampling
from relex.device import Device
from relex.errors import EngineError
from relex.evaluation.checksums import LayerSums
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request, Token
from relex.evaluation.sampler import SeededSampler
from relex.evaluation.stop_strings import StopStrings
from relex.evaluation.weights import candidate_weights, widened

TOKENS_PER_BATCH = 1 << 16


class TransformersEngine:
    """transformers behind the engine protocol.

    A completion depends on its request alone, up to the rounding of matrix products, which may
    differ with the shape of a batch; batches are therefore the same for every candidate.
    """

    def __init__(self, config: EngineConfig, device: Device) -> None:
        """Load the base. Raises EngineError when transformers changes its weights."""
        self.name = f"transformers {transformers.__version__}"
        self._source, self._device = config.source, device
        self._max_context_tokens = config.evaluation.max_context_tokens
        base = Checkpoint(Path(config.source.base))
        arguments = {"trust_remote_code": config.trust_remote_code}
        self._tokenizer = AutoTokenizer.from_pretrained(base.folder, **arguments)
        self._model = AutoModelForCausalLM.from_pretrained(
            base.folder, dtype=getattr(torch, config.dtype), **arguments
        )
        self._model.to(device).eval()
        self._weights = _weights_by_name(self._model, base)
        self._given = LayerSums()
        self._stop_ids = _stop_token_ids(self._model, self._tokenizer)

    @torch.no_grad()
    def swap(self, candidate: Candidate) -> None:
        self._given = LayerSums()
        weights = candidate_weights(self._source, candidate, self._device)
        held = ((name, tensor) for name, tensor in weights if name in self._weights)
        for name, tensor in self._given.passing(widened(held, self._model.dtype)):
            self._weights[name].copy_(tensor)

    def unlike_layers(self) -> set[str]:
        return self._given.unlike(self._model.named_parameters())

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, on_progress: OnProgress
    ) -> list[Completion]:
        completions: dict[int, Completion] = {}
        for rows in self._batches(requests):
            batch = [requests[row] for row in rows]
            completions.update(zip(rows, self._answer(batch, sampling), strict=True))
            on_progress(len(completions))
        return [completions[row] for row in range(len(requests))]

    def _batches(self, requests: Sequence[Request]) -> Iterator[list[int]]:
        """Row numbers in groups of similar prompt length, which need little padding."""
        size = max(1, TOKENS_PER_BATCH // self._max_context_tokens)
        rows = sorted(range(len(requests)), key=lambda row: len(requests[row].prompt_token_ids))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    @torch.no_grad()
    def _answer(self, batch: Sequence[Request], sampling: Sampling) -> list[Completion]:
        ids, mask = _pad_left([request.prompt_token_ids for request in batch])
        seeds = [request.seed for request in batch]
        sampler = SeededSampler(seeds, sampling.temperature, sampling.top_p)
        is_scored = any(request.scored for request in batch)
        output = self._model.generate(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            generation_config=self._generation_config(sampling, is_scored),
            logits_processor=LogitsProcessorList([sampler]),
            stopping_criteria=self._stopping_criteria(sampling.stop, ids.shape[1]),
        )
        written = output.sequences[:, ids.shape[1] :]
        scores = _log_probs(output.logits, written) if is_scored else [[] for _ in batch]
        return [
            self._completion(token_ids, log_probs, sampling.stop)
            for token_ids, log_probs in zip(written.tolist(), scores, strict=True)
        ]

    def _stopping_criteria(self, stop: Sequence[str], num_prompt_tokens: int) -> list[StopStrings]:
        return [StopStrings(self._tokenizer, stop, num_prompt_tokens)] if stop else []

    def _generation_config(self, sampling: Sampling, is_scored: bool) -> GenerationConfig:
        """Greedy over the sampler's scores; nothing is taken from the checkpoint's defaults."""
        return GenerationConfig(
            do_sample=False,
            max_new_tokens=sampling.max_completion_tokens,
            eos_token_id=self._stop_ids,
            pad_token_id=self._stop_ids[0],
            return_dict_in_generate=True,
            output_logits=is_scored,
        )

    def _completion(
        self, token_ids: list[int], log_probs: list[float], stop: Sequence[str]
    ) -> Completion:
        ends = [i for i, token in enumerate(token_ids) if token in self._stop_ids]
        written = token_ids[: ends[0] + 1] if ends else token_ids
        text = str(self._tokenizer.decode(written, skip_special_tokens=True))
        found = [text.index(string) for string in stop if string in text]
        if found and ends:
            # The row was padded with the end token after its stop string.
            written = written[:-1]
        return Completion(
            text=text[: min(found, default=None)],
            num_tokens=len(written),
            finish_reason="stop" if ends or found else "length",
            tokens=tuple(
                Token(id=number, log_prob=log_prob)
                for number, log_prob in zip(written, log_probs, strict=False)
            ),
        )


def _pad_left(prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both rows x longest prompt; the padding is masked out."""
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask


def _log_probs(logits: Sequence[torch.Tensor], written: torch.Tensor) -> list[list[float]]:
    """Log-probability of every token written, rows x tokens, from logits rows x V of each token."""
    found = [step.float().log_softmax(-1) for step in logits]
    picked = [step.gather(1, written[:, [n]]) for n, step in enumerate(found)]
    rows: list[list[float]] = torch.cat(picked, 1).tolist()
    return rows


def _weights_by_name(model: Any, base: Checkpoint) -> dict[str, torch.Tensor]:
    """The model's memory by the base's names; together it is that of all its parameters."""
    own = views_by_base_name(model)
    named = {name: own[name] for name in base.tensors if name in own}
    reached = _elements_by_storage(named.values())
    wanted = _elements_by_storage(model.parameters())
    unreached = [
        name
        for name, tensor in model.named_parameters()
        if reached[place(tensor)[0]] < wanted[place(tensor)[0]]
    ]
    if unreached:
        raise EngineError(
            f"{base.folder}: transformers changes weights of this model when it loads them "
            f"({unreached[0]}), so they cannot be replaced in place; use the vllm engine"
        )
    return named


def _elements_by_storage(tensors: Iterable[torch.Tensor]) -> Counter[int]:
    """Tied tensors count once."""
    found: Counter[int] = Counter()
    for (storage, _), tensor in {place(tensor): tensor for tensor in tensors}.items():
        found[storage] += tensor.numel()
    return found


def _stop_token_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's and the checkpoint's, as vLLM does."""
    configured = model.generation_config.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    ids = sorted({token for token in [tokenizer.eos_token_id, *several] if token is not None})
    if not ids:
        raise EngineError(f"{model.name_or_path}: names no token that ends a text (eos_token)")
    return ids
