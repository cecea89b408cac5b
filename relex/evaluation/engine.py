"""What every engine does: take a candidate's weights in place, answer requests with them."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from relex.candidates import Candidate
from relex.config.exam import Sampling
from relex.config.recipe import EvaluationConfig
from relex.evaluation.dtype import Dtype
from relex.evaluation.weight_source import WeightSource
from relex.strict import Strict

OnProgress = Callable[[int], None]
"""Called with the number of requests answered so far."""


class Request(Strict):
    """One sample to draw."""

    prompt_token_ids: tuple[int, ...]
    """The rendered prompt in the tokens of the base."""

    seed: int
    """Seed of this sample alone, 0 to 2^63 - 1."""

    scored: bool = False
    """Whether the tokens of the completion and their log-probabilities are wanted."""


class Token(Strict):
    """One generated token."""

    id: int
    """Its number in the vocabulary."""

    log_prob: float
    """Its natural log-probability under the model, before temperature and nucleus."""


class Completion(Strict):
    """What the model wrote."""

    text: str
    """The completion without special tokens, up to the first stop string."""

    num_tokens: int
    """Generated tokens, with the one that ended the text."""

    finish_reason: Literal["stop", "length"]
    """`stop`: the model ended its text or wrote a stop string; `length`: it was cut at the token
    limit."""

    tokens: tuple[Token, ...] = ()
    """What was generated, where the request asks for it and the engine can tell."""


class EngineConfig(Strict):
    """All that an engine is built from."""

    source: WeightSource
    """Where the weights of candidates come from."""

    evaluation: EvaluationConfig
    """Which engine, in how much memory, for how long texts."""

    dtype: Dtype
    """What it computes in; weights are converted to it when they are loaded."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; `auto` takes the GPU where there is one."""

    trust_remote_code: bool = False
    """Run Python code that comes with the base."""


class Engine(Protocol):
    """One loaded model whose weights can be replaced; it starts with the base's."""

    name: str
    """Name and version, for records: `vllm 0.31.0`."""

    def swap(self, candidate: Candidate) -> None:
        """Replace every weight in place by the candidate's.

        Raises EngineError when the weights are not exactly the base's in names, shapes and dtypes,
        or the engine did not take all of them. The engine cannot be used after that.
        """
        ...

    def unlike_layers(self) -> set[str]:
        """Layers in which the weights that the engine holds have another checksum (`LayerSums`)
        than those of the last `swap`; all layers where it cannot be read back.

        Which layers it can be read back is found out with the base, at the start.
        """
        ...

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, on_progress: OnProgress
    ) -> list[Completion]:
        """One completion per request, in order, drawn as `sampling` says."""
        ...


class Stopwatch:
    """Seconds of a `with` block."""

    seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
