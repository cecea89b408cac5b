"""The part of relex that runs inside every vLLM worker."""

from typing import Any

import torch

from relex.candidates import Candidate
from relex.device import Device
from relex.errors import EngineError
from relex.evaluation.checksums import LayerSums
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.weights import candidate_weights, widened
from relex.vllm_reload import reload


class CandidateLoader:
    """Mixed into vLLM's worker class by name (`worker_extension_cls`).

    A worker receives the description of a candidate and computes the tensors itself, so no weights
    cross a process border and no checkpoint is written.
    """

    model_runner: Any
    device: torch.device

    def load_candidate(self, source_json: str, candidate_json: str) -> None:
        """Replace all weights in place.

        Raises EngineError naming a weight of the model that the candidate did not fill.
        """
        source = WeightSource.model_validate_json(source_json)
        candidate = Candidate.model_validate_json(candidate_json)
        device: Device = "cuda" if self.device.type == "cuda" else "cpu"
        weights = candidate_weights(source, candidate, device)
        self._given = LayerSums()
        missing = reload(self, self._given.passing(widened(weights, self.model_runner.dtype)))
        if missing:
            raise EngineError(
                f"{candidate.key}: vLLM kept the old values of {len(missing)} weights: {missing[0]}"
            )

    def unlike_layers(self) -> set[str]:
        """As of `Engine`; what is packed, or cut for several GPUs, cannot be read back."""
        return self._given.unlike(self.model_runner.get_model().named_parameters())
