"""A model that transformers has made of a checkpoint, in the names of the checkpoint.

transformers renames and joins tensors when it loads them (the experts of a layer become one tensor,
prefixes change), and leaves out what the model that it makes has no use for: a vision tower, the
heads of further tokens, frequencies that it computes itself. Everything that relex stores has the
base's names and all of its tensors, so what a model lacks is carried over from the base.
"""

from collections.abc import Mapping
from typing import Any

import torch

from relex.checkpoints.reader import Checkpoint
from relex.checkpoints.same_tensors import check_same_tensors
from relex.checkpoints.tensor_file import TensorInfo
from relex.errors import CheckpointError

MADE = "the model that transformers makes of the base"


def saved_state(
    model: Any, state: Mapping[str, torch.Tensor], base: Checkpoint
) -> dict[str, torch.Tensor]:
    """`state`, which has the names of `model.state_dict()`, in the names of the base, and what the
    model lacks from the base itself.

    A tensor that the base does not have is left out when it is another name of one that it has, as
    the output layer of a model with tied embeddings is; any other stays, for a check to find.
    """
    found = _own_names(model, state)
    known = {_place(tensor) for name, tensor in found.items() if name in base.tensors}
    named = {
        name: tensor
        for name, tensor in found.items()
        if name in base.tensors or _place(tensor) not in known
    }
    carried = base.tensors.keys() - named.keys()
    return named | {name: base.read_tensor(name) for name in base.tensors if name in carried}


def untrained_names(base: Checkpoint, trust_remote_code: bool) -> list[str]:
    """The base's tensors that the model of it lacks; nothing is loaded.

    Raises CheckpointError when transformers makes no model of the base, or one with tensors that
    the base does not have, or has in another shape.
    """
    model = _model_without_memory(base, trust_remote_code)
    found = saved_state(model, model.state_dict(), base)
    trained = {name: tensor for name, tensor in found.items() if tensor.is_meta}
    check_same_tensors(
        MADE,
        {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in trained.items()},
        {name: info for name, info in base.tensors.items() if name in trained},
    )
    return [name for name in base.tensors if name not in trained]


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


def _own_names(model: Any, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from transformers.core_model_loading import revert_weight_conversion

    named: dict[str, torch.Tensor] = revert_weight_conversion(model, dict(state))
    return named


def _place(tensor: torch.Tensor) -> tuple[int, int]:
    """The same for two tensors with the same elements in memory, on the meta device too."""
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())
