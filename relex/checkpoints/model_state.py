"""A model that transformers has made of a checkpoint, in the names of the checkpoint.

transformers renames and joins tensors when it loads them (the experts of a layer become one tensor,
prefixes change), and leaves out what the model that it makes has no use for: a vision tower, the
heads of further tokens, frequencies that it computes itself. Everything that relex stores has the
base's names and all of its tensors, so what a model lacks is carried over from the base.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from relex.checkpoints.reader import Checkpoint
from relex.checkpoints.same_tensors import check_same_tensors
from relex.checkpoints.tensor_file import TensorInfo
from relex.errors import CheckpointError

MADE = "the model that transformers makes of the base"


def base_names(model: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`state`, which has the names of `model.state_dict()`, in those of the checkpoint; parts of
    what transformers has joined are views of it where that is possible."""
    # Imported here because it takes seconds that most commands do not need.
    from transformers.core_model_loading import revert_weight_conversion

    named: dict[str, torch.Tensor] = revert_weight_conversion(model, dict(state))
    return named


def place(tensor: torch.Tensor) -> tuple[int, int]:
    """Storage and position: those of the same elements in memory, on the meta device too."""
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())


def views_by_base_name(model: Any) -> dict[str, torch.Tensor]:
    """The model's memory in the names of the checkpoint: what is written there, the model has.

    A part of a joined tensor is found by sending the positions of its elements through the
    conversion. What is neither the model's memory nor a regular part of it is left out.
    """
    state = model.state_dict()
    storages = {place(tensor)[0] for tensor in state.values()}
    named = base_names(model, state).items()
    views = {name: tensor for name, tensor in named if place(tensor)[0] in storages}
    reached = {place(tensor)[0] for tensor in views.values()}
    for joined, tensor in state.items():
        if place(tensor)[0] in reached:
            continue
        position = torch.arange(tensor.numel()).view(tensor.shape)
        parts = base_names(model, {joined: position}).items()
        found = {name: _part(tensor, of_part) for name, of_part in parts}
        views |= {name: view for name, view in found.items() if view is not None}
    return views


def _part(tensor: torch.Tensor, position: torch.Tensor) -> torch.Tensor | None:
    """The elements of a contiguous tensor at these positions as a view; None where they follow no
    strides."""
    first = int(position.flatten()[0])
    strides = [
        int(position.select(axis, min(1, size - 1)).flatten()[0]) - first
        for axis, size in enumerate(position.shape)
    ]
    whole = torch.arange(tensor.numel())
    if not torch.equal(whole.as_strided(position.shape, strides, first), position):
        return None
    return tensor.as_strided(position.shape, strides, tensor.storage_offset() + first)


class BaseNames:
    """From the names of a model's state to those of its base; made before the model is sharded."""

    def __init__(self, model: Any, base: Checkpoint) -> None:
        self._model, self._base = model, base
        self._key_of: dict[str, str] = {}
        """Of every tensor of the base that the model has: where it is in the state."""
        surplus: dict[str, str] = {}
        state = model.state_dict()
        for key, tensor in state.items():
            for name in base_names(model, {key: tensor.to("meta")}):
                (self._key_of if name in base.tensors else surplus)[name] = key
        known = {place(state[key]) for key in self._key_of.values()}
        # The output layer of a model with tied embeddings is another name of what the base has.
        self._key_of |= {
            name: key for name, key in surplus.items() if place(state[key]) not in known
        }

    @property
    def untrained(self) -> list[str]:
        """The base's tensors that the model lacks."""
        return [name for name in self._base.tensors if name not in self._key_of]

    @property
    def needed(self) -> set[str]:
        """The names in the state of what the base's tensors are made of."""
        return set(self._key_of.values())

    @property
    def renamed(self) -> list[str]:
        """The base's tensors that the model has under another name, or as a part of another."""
        return [name for name, key in self._key_of.items() if name != key]

    def of(self, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """`state`, which has the names of `model.state_dict()`, by the base's names, and what the
        model lacks from the base itself; what the base lacks stays, for a check to find.

        A tensor of `state` is asked for when a part of it is, so that sharded ones are gathered one
        by one.
        """
        return _SavedState(self._model, state, self._base, self._key_of)


class _SavedState(Mapping[str, torch.Tensor]):
    def __init__(
        self,
        model: Any,
        state: Mapping[str, torch.Tensor],
        base: Checkpoint,
        key_of: Mapping[str, str],
    ) -> None:
        self._model, self._state, self._base, self._key_of = model, state, base, key_of
        self._key = ""
        self._parts: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._key_of:
            if name not in self._base.tensors:
                raise KeyError(name)
            return self._base.read_tensor(name)
        key = self._key_of[name]
        if key != self._key:
            self._key, self._parts = key, base_names(self._model, {key: self._state[key]})
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._base.tensors, **self._key_of})

    def __len__(self) -> int:
        return len({**self._base.tensors, **self._key_of})


def names_in_model(base: Checkpoint, trust_remote_code: bool) -> BaseNames:
    """Where the model of a base has its tensors; nothing is loaded.

    Raises CheckpointError when transformers makes no model of the base, or one with tensors that
    the base does not have, or has in another shape.
    """
    model = _model_without_memory(base, trust_remote_code)
    names = BaseNames(model, base)
    found = names.of(model.state_dict()).items()
    check_same_tensors(
        MADE,
        {name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in found},
        base.tensors,
    )
    return names


def _model_without_memory(base: Checkpoint, trust_remote_code: bool) -> Any:
    # Imported here because it takes seconds that most commands do not need.
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    # It would show a bar, and list the tensors that it leaves out.
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            base.folder, device_map="meta", trust_remote_code=trust_remote_code
        )
    except Exception as error:
        raise CheckpointError(
            f"{base.folder}: transformers makes no causal language model of it: {error}"
        ) from error
    finally:
        logging.enable_progress_bar()
        logging.set_verbosity(verbosity)
