"""One line in a training script of one's own: a callback that keeps the window while it trains.

    trainer.add_callback(KeepWindow("s3://bucket/window", base="Qwen/Qwen2.5-1.5B"))

For every trainer that is one of transformers: those of TRL (GRPO, DPO, SFT), and
`transformers.Trainer` itself; on one process, with DDP, with FSDP2, and with the adapters of PEFT.
`relex fit`, and a recipe with `window: {uri: ...}`, take what it writes.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
from accelerate.utils import extract_model_from_parallel
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from relex.checkpoints import Checkpoint, open_base
from relex.checkpoints.model_state import names_in_model
from relex.config.training import SnapshotDtype
from relex.errors import WindowError
from relex.storage import S3Connection, open_store
from relex.training.base_check import check_dtype
from relex.training.callbacks import KeepSnapshots
from relex.training.lora import adapter_of, adapter_state
from relex.training.part import PartWriter, Schema, State
from relex.training.snapshots import SnapshotSpool, check_model_state, kept_dtype, snapshot_schema
from relex.window import WindowWriter, open_writer, read_window_manifest
from relex.window.layout import ADAPTERS, Kept

SPOOL = ".relex-spool"
"""In the trainer's `output_dir`, which all processes must see: steps on their way to the window."""


class KeepWindow(TrainerCallback):  # type: ignore[misc]
    """Keeps the weights of the first steps in a window, while training goes on."""

    def __init__(
        self,
        window: str,
        base: str,
        *,
        steps: int | None = None,
        snapshot_dtype: SnapshotDtype = "auto",
        connection: S3Connection | None = None,
    ) -> None:
        """`window` is a folder or `s3://bucket/prefix`, `base` what the model was loaded from.

        `steps`: how many are kept, by default all; training may go on. `snapshot_dtype`: as in a
        recipe; adapters are kept as they are. `connection`: how to reach S3, by default as boto3
        finds it.
        """
        self._window, self._base, self._num_steps = window, base, steps
        self._dtype, self._connection = snapshot_dtype, connection

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any,
        **_: Any,
    ) -> None:
        """Open the window: a new one, or one that ends where training goes on.

        Raises WindowError when the weights cannot be kept, or the window is whole already or of
        something else; CheckpointError when the model was not made of the base.
        """
        self._writer: WindowWriter | None = None
        self._spool: SnapshotSpool | None = None
        base = open_base(self._base)
        content = self._content(extract_model_from_parallel(model, keep_torch_compile=False), base)
        steps = range(1, min(self._num_steps or state.max_steps, state.max_steps) + 1)
        folder = Path(args.output_dir) / SPOOL
        if state.is_world_process_zero:
            if state.global_step == 0 and content.kept != ADAPTERS and not content.is_split:
                check_model_state(content.own_state(), base, content.schema)
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open(base, content.kept, steps, state.global_step)
            self._spool = SnapshotSpool(
                folder, content.schema, self._writer, content.adapter_config
            )
        args.distributed_state.wait_for_everyone()
        writer = None
        if content.is_split or self._spool is not None:
            metadata = {} if self._spool is None else self._spool.metadata
            writer = PartWriter(folder, content.schema, metadata, args.process_index)
        num_parts = args.world_size if content.is_split else 1
        self._keep = KeepSnapshots(steps, content.own_state, writer, self._spool, num_parts)

    def on_step_end(self, *event: Any, **rest: Any) -> None:
        self._keep.on_step_end(*event, **rest)

    def on_pre_optimizer_step(self, *event: Any, **rest: Any) -> None:
        self._keep.on_pre_optimizer_step(*event, **rest)

    def on_save(self, *event: Any, **rest: Any) -> None:
        """A checkpoint is never ahead of the window, so that training can go on from it."""
        self._keep.on_save(*event, **rest)
        if self._spool is not None:
            self._spool.wait()

    def on_train_end(self, *event: Any, **rest: Any) -> None:
        """The window is whole, or, where training was stopped early, ends with its last step."""
        self._keep.on_train_end(*event, **rest)
        if self._spool is None or self._writer is None:
            return
        self._spool.wait()
        if not self._writer.missing_steps and not self._writer.complete:
            self._writer.finish()
        shutil.rmtree(self._spool.folder)

    def _content(self, model: Any, base: Checkpoint) -> "_Content":
        _check_sharding(model)
        if isinstance(model, peft.PeftModel):
            adapter = adapter_of(model, self._base)
            adapter.check(base)
            return _Content(ADAPTERS, adapter.schema, lambda: _gathered(model), adapter.config)
        check_dtype("snapshot_dtype", self._dtype, base)
        dtype = kept_dtype(self._dtype, base)
        names, state = names_in_model(base, trust_remote_code=False), model.state_dict()
        if lacking := sorted(names.needed - state.keys()):
            raise WindowError(
                f"{self._base}: the model that is trained has no {lacking[0]}, which that of this "
                "base has; give the base that it was loaded from"
            )
        schema = snapshot_schema(base, dtype)
        if not any(isinstance(tensor, DTensor) for tensor in state.values()):
            return _Content(dtype, schema, lambda: names.of(model.state_dict()))
        if others := [*names.renamed, *names.untrained]:
            raise WindowError(
                f"{self._base}: transformers renames, joins or leaves out {len(others)} of its "
                f"tensors ({others[0]}, ...), and each process keeps its own rows by the base's "
                "names; train without sharding"
            )
        return _Content(dtype, schema, model.state_dict, is_split=True)

    def _open(self, base: Checkpoint, kept: Kept, steps: range, step: int) -> WindowWriter:
        """The window with exactly the steps up to the one that training goes on from."""
        store = open_store(self._window, self._connection)
        found = read_window_manifest(store)
        if found is not None and found.facts.complete and step == 0:
            raise WindowError(
                f"{store.uri}: holds a whole window already; remove it (relex window rm), or "
                "choose another place"
            )
        writer = open_writer(store, base, kept, steps)
        if lacking := set(steps[:step]) - set(writer.steps):
            raise WindowError(
                f"{store.uri}: has no step {min(lacking)}, and training goes on after step {step}; "
                "train from the start, with a window of its own"
            )
        writer.drop_after(step)
        return writer


@dataclass(frozen=True)
class _Content:
    """What a step of the window holds."""

    kept: Kept
    schema: Schema
    own_state: Callable[[], State]
    """What this process has of it, by name."""
    adapter_config: str = ""
    is_split: bool = False
    """Whether every process has rows of its own."""


def _check_sharding(model: Any) -> None:
    """Raise WindowError where the weights of a process are no rows of the model's tensors."""
    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        raise WindowError("KeepWindow: FSDP joins tensors in its version 1; set fsdp_version to 2")
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        raise WindowError(
            "KeepWindow: DeepSpeed ZeRO-3 hands out its weights in 16 bits, in which most of a "
            "step is lost; shard with FSDP2"
        )


def _gathered(model: peft.PeftModel) -> State:
    """The adapter, whole in every process: it is small."""
    return {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in adapter_state(model).items()
    }
