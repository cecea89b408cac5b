"""Replaces the weights of a vLLM model in this process, in place."""

from collections.abc import Iterable
from typing import Any

import torch


def reload(worker: Any, weights: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """Stream `weights`, by the names of the checkpoint, into the model of a vLLM worker.

    Returns the parameters that none of them filled, of which vLLM says nothing. Comparing sums of
    parameters would not find them: on the CPU vLLM packs matrices for oneDNN and leaves empty
    parameters behind, into which nothing can be written either. The worker's method, unlike its
    model's, packs anew, and sets vLLM's config, which layers look up while they load.
    """
    model = worker.model_runner.get_model()
    load_weights, loaded = model.load_weights, set()

    def load_and_record(weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        loaded.update(load_weights(weights))
        return loaded

    model.load_weights = load_and_record
    try:
        worker.reload_weights(weights_iterator=weights)
    finally:
        del model.load_weights
    _refresh_tied_layers(model)
    filled = {_reported(name) for name in loaded}
    return sorted({_reported(name) for name, _ in model.named_parameters()} - filled)


def _reported(name: str) -> str:
    """The experts of a layer are a module in a module; vLLM tells what it filled by the outer."""
    return name.replace(".experts.routed_experts.", ".experts.")


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
