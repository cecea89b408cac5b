"""What can be known of the base before it is loaded: whether what is trained can be stored."""

import torch

from relex.checkpoints import Checkpoint
from relex.checkpoints.model_state import untrained_names
from relex.config.recipe import Recipe
from relex.errors import RecipeError


def check_base(recipe: Recipe, base: Checkpoint) -> list[str]:
    """The base's tensors that training leaves as they are; known for our own trainer only.

    Raises RecipeError when the snapshots could not hold the base itself, CheckpointError when the
    model that transformers makes of it has other tensors than the base.
    """
    _check_dtype(recipe, base)
    if recipe.training.trainer != "grpo":
        return []
    return untrained_names(base, recipe.base.trust_remote_code)


def _check_dtype(recipe: Recipe, base: Checkpoint) -> None:
    if recipe.training.snapshot_dtype == "bfloat16" and hidden_in_rounding(base, torch.bfloat16):
        raise RecipeError(
            f"training.snapshot_dtype: bfloat16 cannot hold the weights of the base, which are "
            f"{str(base.dtype).removeprefix('torch.')}, so every displacement would be their "
            "rounding and not what was trained; set snapshot_dtype: rounded, or float32"
        )


def hidden_in_rounding(base: Checkpoint, kept: torch.dtype) -> bool:
    """Whether snapshots kept in that dtype cannot hold the base's own weights. A displacement is
    snapshot minus base, so it is then their rounding, many times what a step moves them."""
    return torch.promote_types(kept, base.dtype) != kept
