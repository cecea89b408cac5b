"""What a run writes to the local disk."""

from relex.checkpoints import Checkpoint
from relex.config import Recipe
from relex.memory.model import Model
from relex.memory.phases import Phase, training_of
from relex.memory.training import NUM_MOMENTS
from relex.memory.window_size import step_bytes
from relex.training.snapshots import MAX_PENDING, snapshot_schema

NUM_ROLLING_CHECKPOINTS = 2
"""The rolling checkpoint is written whole before the one before it is removed."""


def window_bytes(recipe: Recipe, base: Checkpoint, model: Model) -> list[float]:
    """Estimated bytes of each kept step."""
    training = training_of(recipe, model)
    return step_bytes(recipe, base, None if training.trains_all else training.num_trained)


def disk_phase(
    recipe: Recipe,
    base: Checkpoint,
    model: Model,
    free_bytes: float,
    *,
    trains: bool = True,
    publishes: bool = True,
) -> Phase:
    """Of a machine that trains: spool and rolling checkpoints. Of the one that publishes: the
    chosen model; with embedded storage the window, and the model once more."""
    training, steps = training_of(recipe, model), window_bytes(recipe, base, model)
    schema = snapshot_schema(base, recipe.training.snapshot_dtype)
    snapshot = sum(info.num_bytes for info in schema.values())
    if not training.trains_all:
        snapshot = 4 * training.num_trained
    masters = training.master_bytes * training.num_trained
    published = sum(info.num_bytes for info in base.tensors.values())
    is_embedded = recipe.storage.uri == "embedded"
    parts = {
        # One more snapshot is kept to compare the next with, and one delta is being made, twice.
        "spool": trains * ((MAX_PENDING + 1) * snapshot + 2 * max(steps)),
        "rolling checkpoints": trains * NUM_ROLLING_CHECKPOINTS * (1.0 + NUM_MOMENTS) * masters,
        "window": publishes * is_embedded * sum(steps),
        "chosen model": publishes * published * (2.0 if is_embedded else 1.0),
    }
    return Phase("disk", {name: size for name, size in parts.items() if size}, free_bytes)
