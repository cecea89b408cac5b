"""What can be known of the base before it is loaded: whether what is trained can be stored."""

import torch

from relex.checkpoints import Checkpoint
from relex.checkpoints.model_state import names_in_model
from relex.config.recipe import Recipe
from relex.config.training import SnapshotDtype
from relex.errors import RecipeError
from relex.window.precision import hidden_in_rounding


def check_base(recipe: Recipe, base: Checkpoint) -> list[str]:
    """The base's tensors that training leaves as they are; known for our own trainer only.

    Raises RecipeError when the snapshots could not hold the base itself, or sharded ones its names,
    CheckpointError when the model that transformers makes of it has other tensors than the base.
    """
    if recipe.training.lora is None:  # adapters are stored as they are
        check_dtype("training.snapshot_dtype", recipe.training.snapshot_dtype, base)
    if recipe.training.trainer != "grpo":
        return []
    names = names_in_model(base, recipe.base.trust_remote_code)
    others = [*names.renamed, *names.untrained]
    if recipe.training.shard and others:
        raise RecipeError(
            "training.shard: each process stores its own rows by the base's names, but "
            f"transformers renames, joins or leaves out {len(others)} of its tensors "
            f"({others[0]}, ...); train without shard"
        )
    return names.untrained


def check_dtype(where: str, kept: SnapshotDtype, base: Checkpoint) -> None:
    """Raise RecipeError, naming the setting `where`, when snapshots kept so could not hold the base
    itself."""
    if kept == "bfloat16" and hidden_in_rounding(base, torch.bfloat16):
        raise RecipeError(
            f"{where}: bfloat16 cannot hold the weights of the base, which are "
            f"{str(base.dtype).removeprefix('torch.')}, so every displacement would be their "
            "rounding and not what was trained; set snapshot_dtype: rounded, or float32"
        )
