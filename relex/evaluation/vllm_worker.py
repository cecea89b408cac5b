"""The part of relex that runs inside every vLLM worker."""

from collections.abc import Iterable
from typing import Any

import torch

from relex.candidates import Candidate
from relex.checkpoints import NamedTensor
from relex.device import Device
from relex.errors import EngineError
from relex.evaluation.checksums import LayerSums
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.weights import candidate_weights, widened


class CandidateLoader:
    """Mixed into vLLM's worker class by name (`worker_extension_cls`).

    A worker receives the description of a candidate and computes the tensors itself, so no weights
    cross a process border and no checkpoint is written.
    """

    model_runner: Any
    device: torch.device
    reload_weights: Any

    def load_candidate(self, source_json: str, candidate_json: str) -> None:
        """Replace all weights in place.

        Raises EngineError naming a weight of the model that the candidate did not fill. vLLM only
        warns about it, and comparing sums of parameters would miss it: on the CPU vLLM repacks
        matrices for oneDNN and leaves empty parameters behind.
        """
        source = WeightSource.model_validate_json(source_json)
        candidate = Candidate.model_validate_json(candidate_json)
        device: Device = "cuda" if self.device.type == "cuda" else "cpu"
        weights = candidate_weights(source, candidate, device)
        self._given = LayerSums()
        loaded = self._reload(self._given.passing(widened(weights, self.model_runner.dtype)))
        _refresh_tied_layers(self.model_runner.get_model())
        missing = sorted(_parameter_names(self.model_runner) - {_reported(name) for name in loaded})
        if missing:
            raise EngineError(
                f"{candidate.key}: vLLM kept the old values of {len(missing)} weights: {missing[0]}"
            )

    def unlike_layers(self) -> set[str]:
        """As of `Engine`; what is packed, or cut for several GPUs, cannot be read back."""
        return self._given.unlike(self.model_runner.get_model().named_parameters())

    def _reload(self, weights: Iterable[NamedTensor]) -> set[str]:
        """Stream `weights` into the model; the names of the parameters that vLLM filled.

        The worker's method sets vLLM's config, which layers look up while they load.
        """
        model = self.model_runner.get_model()
        load_weights = model.load_weights
        loaded: set[str] = set()

        def load_and_record(weights: Iterable[NamedTensor]) -> set[str]:
            loaded.update(load_weights(weights))
            return loaded

        model.load_weights = load_and_record
        try:
            self.reload_weights(weights_iterator=weights)
        finally:
            del model.load_weights
        return loaded


def _refresh_tied_layers(model: Any) -> None:
    """Let layers that share a matrix with an earlier one take its new values.

    vLLM reloads a tied matrix through its first owner, the embedding. On the CPU the output layer
    computes with a packed copy of its own, which would silently stay the one of the first load.
    """
    seen: set[int] = set()
    for layer in model.modules():
        owned = {id(parameter) for parameter in layer.parameters(recurse=False)}
        if owned & seen:
            layer.quant_method.process_weights_after_loading(layer)
        seen |= owned


def _parameter_names(model_runner: Any) -> set[str]:
    return {_reported(name) for name, _ in model_runner.get_model().named_parameters()}


def _reported(name: str) -> str:
    """The experts of a layer are a module in a module; vLLM tells what it filled by the outer."""
    return name.replace(".experts.routed_experts.", ".experts.")
