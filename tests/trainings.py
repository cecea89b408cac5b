"""Trainings whose memory is compared with torch's."""

from dataclasses import replace
from typing import Any

from relex.memory import Model
from relex.memory.training import Training


def training_of(model: Model, num_rows: int, length: int, **changes: Any) -> Training:
    """Of all weights in one process, with batches of rows of that length, a quarter of it prompt;
    and with the changes."""
    training = Training(
        model=model,
        num_trained=model.num_parameters,
        frozen_bytes=0,
        master_bytes=4,
        num_processes=1,
        num_on_host=1,
        is_sharded=False,
        has_reference=False,
        batch_size=num_rows,
        prompt_tokens=length // 4,
        completion_tokens=length - length // 4,
        checkpoints_gradients=True,
    )
    return replace(training, **changes)
