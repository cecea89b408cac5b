"""Training with `steps: auto` stops when its window is settled."""

from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from relex.checkpoints import Checkpoint
from relex.extrapolation.settling import (
    NUM_LOOKS,
    are_settled,
    last_looks,
    look_steps,
    same_order,
)
from relex.extrapolation.window_grams import window_grams
from relex.training.callbacks import KeepSnapshots
from relex.training.events import WindowLooked, send
from relex.training.job import TrainingJob
from relex.training.snapshots import SnapshotSpool
from relex.window import open_window


class StopWhenSettled(TrainerCallback):  # type: ignore[misc]
    """Looks at the stored window every few steps; every process has one, and the main one looks."""

    def __init__(
        self, job: TrainingJob, keeping: KeepSnapshots, spool: SnapshotSpool | None
    ) -> None:
        """`keeping` has begun to write a step before this is called at it."""
        self._job, self._keeping, self._spool = job, keeping, spool

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        step = state.global_step
        if step == state.max_steps or not look_steps([step]):
            return
        self._keeping.end(args)
        is_settled = [False]
        if self._spool is not None:
            self._spool.wait()
            is_settled = [self._look(step)]
        broadcast_object_list(is_settled)
        control.should_training_stop |= is_settled[0]

    def _look(self, step: int) -> bool:
        job = self._job
        base = Checkpoint(Path(job.base))
        window = open_window(job.window, job.connection, base)
        looks = last_looks(window_grams(window, base), window.steps)
        newest = looks[-1]
        looked = WindowLooked(
            step=step,
            skill=newest.skill,
            half_cosine=newest.half_cosine,
            same_order=same_order(looks[0], newest) if len(looks) == NUM_LOOKS else None,
            is_settled=are_settled(looks),
        )
        send(looked)
        return looked.is_settled
