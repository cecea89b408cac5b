"""What is done at the trainer's steps: report, keep the snapshot, make the checkpoint whole."""

import math
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from relex.config.training import TrainingConfig
from relex.errors import TrainingError
from relex.training.alarms import Alarms, FlatSteps, config_warnings
from relex.training.events import StepTrained, TrainingWarning, send
from relex.training.falling import FallingAccuracy
from relex.training.part import PartWriter, State, part_path
from relex.training.rolling import PREFIX, mark_whole, remove_checkpoints
from relex.training.shared import SharedPlace
from relex.training.snapshots import SnapshotSpool

IMPORTANCE_BEYOND, ROLLOUT_SECONDS = "importance_beyond_fraction", "rollout_seconds"

# What this process has of the trained weights, by name.
OwnState = Callable[[], State]


class ReportSteps(TrainerCallback):  # type: ignore[misc]
    """Sends the metrics of every step, warns about them, and ends a run that is in vain.

    Used on the main process. A resumed run has seen every step of the run: the trainer's log of
    those up to the rolling checkpoint is in the checkpoint, and the others are trained again.
    """

    def __init__(
        self, config: TrainingConfig, reward_names: list[str], why_not_judged: str | None
    ) -> None:
        """`why_not_judged`: why accuracy would mean nothing; it is then left out."""
        self._config, self._reward_names = config, reward_names
        self._why_not_judged = why_not_judged
        self._alarms = Alarms()
        self._ends = (FlatSteps(config), FallingAccuracy(config))
        self._last_seconds = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._last_seconds = time.monotonic()
        for message in config_warnings(self._config, "cpu" if args.use_cpu else "cuda"):
            send(TrainingWarning(message=message))
        if self._why_not_judged is not None:
            message = f"accuracy is not measured, nor can it end the run: {self._why_not_judged}"
            send(TrainingWarning(message=message))
        for logs in state.log_history:
            if "reward" in logs:
                # What they warned about has been said.
                list(self._watch(self._translate(logs["step"], logs, 0.0)))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any],
        **_: Any,
    ) -> None:
        if "reward" not in logs:
            return
        now_seconds = time.monotonic()
        trained = self._translate(state.global_step, logs, now_seconds - self._last_seconds)
        self._last_seconds = now_seconds
        send(trained)
        for message in self._watch(trained):
            send(TrainingWarning(message=message))

    def _watch(self, trained: StepTrained) -> Iterator[str]:
        """The warnings of a step; raises NoLearningError where it is to be the last one."""
        yield from self._alarms.check(trained)
        for end in self._ends:
            end.check(trained)

    def _translate(self, step: int, logs: dict[str, Any], step_seconds: float) -> StepTrained:
        for name in ("loss", "grad_norm"):
            if not math.isfinite(logs[name]):
                raise TrainingError(
                    f"step {step}: {name} is {logs[name]}: training has diverged; "
                    "lower training.learning_rate"
                )
        is_judged = self._why_not_judged is None
        return StepTrained(
            step=step,
            num_steps=self._config.last_step,
            reward_mean=logs["reward"],
            reward_spread=logs["reward_std"],
            reward_means={name: logs[f"rewards/{name}/mean"] for name in self._reward_names},
            accuracy=logs.get("accuracy") if is_judged else None,
            accuracy_spread=logs.get("accuracy_spread") if is_judged else None,
            zero_spread_fraction=logs["zero_spread_fraction"],
            clipped_fraction=logs["completions/clipped_ratio"],
            mean_completion_tokens=logs["completions/mean_length"],
            loss=logs["loss"],
            grad_norm=logs["grad_norm"],
            learning_rate=logs["learning_rate"],
            step_seconds=step_seconds,
            rollout_seconds=logs.get(ROLLOUT_SECONDS),
            kl=logs.get("kl"),
            importance_ratio=logs.get("sampling/importance_sampling_ratio/mean"),
            importance_beyond_fraction=logs.get(IMPORTANCE_BEYOND),
        )


class KeepSnapshots(TrainerCallback):  # type: ignore[misc]
    """Spools the weights of each kept step before the next update changes them."""

    def __init__(
        self,
        kept_steps: Collection[int],
        own_state: OwnState,
        writer: PartWriter | None,
        spool: SnapshotSpool | None,
        num_parts: int = 1,
    ) -> None:
        """A process that has no part of the weights for itself alone has no `writer`, and only the
        main one the `spool`; `num_parts` are those of one snapshot."""
        self._kept_steps, self._own_state = set(kept_steps), own_state
        self._writer, self._spool, self._num_parts = writer, spool, num_parts
        self._begun: int | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step not in self._kept_steps:
            return
        own = self._own_state()  # in every process: it may have to be gathered
        if self._writer is not None:
            make_room = None if self._spool is None else self._spool.make_room
            self._writer.begin(state.global_step, own, make_room)
            self._begun = state.global_step

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.end(args)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.end(args)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.end(args)

    def end(self, args: TrainingArguments) -> None:
        """Every process has written its part when this returns."""
        if self._writer is None or self._begun is None:
            return
        step, self._begun = self._begun, None
        self._writer.copied()
        if self._num_parts > 1:
            args.distributed_state.wait_for_everyone()
        if self._spool is not None:
            parts = range(self._num_parts)
            self._spool.store(step, [part_path(self._spool.folder, step, part) for part in parts])


class RollCheckpoint(TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint every few steps, and marks it when it is whole and none too early."""

    def __init__(
        self, config: TrainingConfig, spool: SnapshotSpool | None, shared: SharedPlace | None
    ) -> None:
        """`shared`: where other nodes read it too."""
        self._every_steps, self._last_step = config.rolling_steps, config.last_step
        self._spool, self._shared = spool, shared

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        due = state.global_step % self._every_steps == 0
        # From the checkpoint of its last step a run would go on.
        is_last = state.global_step == self._last_step or control.should_training_stop
        control.should_save = due and not is_last

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Every process writes a part: its random state.
        args.distributed_state.wait_for_everyone()
        folder = Path(args.output_dir) / f"{PREFIX}{state.global_step}"
        if self._shared is not None:
            if args.local_process_index == 0:
                self._shared.give_checkpoint(folder)
                remove_checkpoints(folder.parent, keep=folder)
            args.distributed_state.wait_for_everyone()
        if self._spool is not None:
            self._spool.wait()
            mark_whole(folder)
            if self._shared is not None:
                self._shared.mark_whole(folder)
