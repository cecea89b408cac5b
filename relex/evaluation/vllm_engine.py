"""vLLM in this process, on the GPU or the CPU."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoConfig

from relex.candidates import Candidate
from relex.config import Sampling
from relex.device import Device
from relex.errors import EngineError, RelexError
from relex.evaluation.dtype import Dtype
from relex.evaluation.engine import Completion, EngineConfig, OnProgress, Request, Token
from relex.evaluation.vllm_worker import CandidateLoader

# One process, but for tensor parallel workers: all requests are queued before the first step, so
# that batches, and with them the rounding, are the same for every candidate; and the memory is free
# when the process ends.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
CPU_LEAST_CACHE_BYTES = 512 << 20
CPU_MAX_SEQUENCES = 256
CPU_LEAST_STEP_TOKENS = 4096


class VllmEngine:
    """vLLM behind the engine protocol."""

    def __init__(self, config: EngineConfig, device: Device) -> None:
        """Load the base. Raises EngineError when vLLM cannot."""
        os.environ.update(ENVIRONMENT)  # read by vLLM while it is imported
        import vllm

        self.name = f"vllm {vllm.__version__}"
        self._source = config.source
        self._new_params = vllm.SamplingParams
        try:
            self._llm = vllm.LLM(**_arguments(config, device))
        except Exception as error:
            raise EngineError(f"{config.source.base}: vLLM cannot load it: {error}") from error

    def swap(self, candidate: Candidate) -> None:
        arguments = (self._source.model_dump_json(), candidate.model_dump_json())
        try:
            self._llm.collective_rpc("load_candidate", args=arguments)
        except RelexError:
            raise
        except Exception as error:
            raise EngineError(f"{candidate.key}: vLLM cannot load it: {error}") from error
        self._reset_prefix_cache(candidate.key)

    def unlike_layers(self) -> set[str]:
        return set().union(*self._llm.collective_rpc("unlike_layers"))

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, on_progress: OnProgress
    ) -> list[Completion]:
        # What requests before these have left there would change the batches of these.
        self._reset_prefix_cache("the requests before")
        prompts = [{"prompt_token_ids": list(request.prompt_token_ids)} for request in requests]
        params = [self._params(request, sampling) for request in requests]
        self._llm.enqueue(prompts, params, use_tqdm=False)
        outputs: list[Any] = []
        while self._llm.llm_engine.has_unfinished_requests():
            finished = [output for output in self._llm.llm_engine.step() if output.finished]
            outputs.extend(finished)
            if finished:
                on_progress(len(outputs))
        outputs.sort(key=lambda output: int(output.request_id))
        return [_completion(output.outputs[0]) for output in outputs]

    def _reset_prefix_cache(self, where: str) -> None:
        if not self._llm.reset_prefix_cache():
            raise EngineError(
                f"{where}: vLLM kept its prefix cache, so answers would mix two candidates"
            )

    def _params(self, request: Request, sampling: Sampling) -> Any:
        return self._new_params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_completion_tokens,
            stop=list(sampling.stop),
            seed=request.seed,
            logprobs=0 if request.scored else None,
        )


def _arguments(config: EngineConfig, device: Device) -> dict[str, Any]:
    """Arguments of vllm.LLM; everything that changes answers is explicit."""
    evaluation = config.evaluation
    common = {
        "model": config.source.base,
        "dtype": config.dtype,
        "max_model_len": evaluation.max_context_tokens,
        "generation_config": "vllm",
        "trust_remote_code": config.trust_remote_code,
        "worker_extension_cls": f"{CandidateLoader.__module__}.{CandidateLoader.__qualname__}",
        "tensor_parallel_size": evaluation.tensor_parallel_size,
        # Of the distribution before temperature and nucleus.
        "logprobs_mode": "raw_logprobs",
        "seed": 0,
        "use_tqdm_on_load": False,
    }
    if device == "cpu":
        model = AutoConfig.from_pretrained(
            config.source.base, trust_remote_code=config.trust_remote_code
        )
        cache_bytes = cpu_cache_bytes(model, config.dtype, evaluation.max_context_tokens)
        return {**common, **_cpu_arguments(evaluation.max_context_tokens, cache_bytes)}
    return {**common, "gpu_memory_utilization": evaluation.gpu_memory_fraction}


def _cpu_arguments(max_context_tokens: int, cache_bytes: int) -> dict[str, Any]:
    """Every prompt is read in one step of the scheduler.

    Of a prompt that is read in pieces vLLM takes back the token drawn after each piece by setting
    the offset of its request's generator, which a generator on the CPU does not have. A step
    therefore holds the longest context beside one token for each of the other answers.
    """
    return {
        "enforce_eager": True,
        "kv_cache_memory_bytes": cache_bytes,
        "enable_chunked_prefill": False,
        "max_num_seqs": CPU_MAX_SEQUENCES,
        "max_num_batched_tokens": max(
            CPU_LEAST_STEP_TOKENS, max_context_tokens + CPU_MAX_SEQUENCES
        ),
    }


def cpu_cache_bytes(model: Any, dtype: Dtype, max_context_tokens: int) -> int:
    """Bytes of keys and values, at least of two of the longest contexts.

    `model` is the base's config; a layer without attention is counted as one with it.
    """
    text = model.get_text_config()
    num_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    num_elements = 2 * text.num_hidden_layers * num_heads * head_dim
    token_bytes: int = num_elements * getattr(torch, dtype).itemsize
    return max(CPU_LEAST_CACHE_BYTES, 2 * max_context_tokens * token_bytes)


def _completion(output: Any) -> Completion:
    if output.finish_reason not in ("stop", "length"):
        raise EngineError(f"vLLM ended an answer with {output.finish_reason!r}; run it again")
    log_probs = output.logprobs or ()
    return Completion(
        text=output.text,
        num_tokens=len(output.token_ids),
        finish_reason=output.finish_reason,
        tokens=tuple(
            Token(id=number, log_prob=found[number].logprob)
            for number, found in zip(output.token_ids, log_probs, strict=False)
        ),
    )
