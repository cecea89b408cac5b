"""Adam's moments at the end of a training, for a round that goes on from there.

`moments.safetensors` holds of every parameter that was updated `<name>.exp_avg` and
`<name>.exp_avg_sq`, as the optimizer has them, and `<name>.step`, the updates that it has had.
"""

import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from relex.checkpoints import TensorFile, TensorFileWriter, TensorInfo
from relex.parts import find_part
from relex.storage import open_store
from relex.storage.folder import FolderStore
from relex.storage.manifest import fetch_folder, publish_folder
from relex.training.job import MOMENTS, TrainingJob

FILE = "moments.safetensors"
KEYS = ("exp_avg", "exp_avg_sq", "step")


class CarryMoments(TrainerCallback):  # type: ignore[misc]
    """Takes the moments that the job starts from, and stores those that it ends with, where the
    job says so; every process has one."""

    def __init__(self, job: TrainingJob) -> None:
        self._job = job

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: Any,
        optimizer: Any,
        **_: Any,
    ) -> None:
        # A resumed run has them from its rolling checkpoint.
        if not self._job.moments or state.global_step:
            return
        folder = Path(self._job.work) / f"{MOMENTS}-{args.process_index}"
        fetch_folder(open_store(self._job.moments, self._job.connection), folder, MOMENTS)
        put_moments(model, optimizer, TensorFile(FolderStore(folder), FILE), self._job.reset)
        shutil.rmtree(folder)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: Any,
        optimizer: Any,
        **_: Any,
    ) -> None:
        if not self._job.keep_moments:
            return
        folder = Path(self._job.work) / MOMENTS
        if args.process_index > 0:
            deque(moments_of(model, optimizer), maxlen=0)
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_moments(folder / FILE, model, optimizer)
        store = open_store(self._job.keep_moments, self._job.connection)
        publish_folder(store, folder, MOMENTS, {"recipe": self._job.recipe.digest})
        shutil.rmtree(folder)


def write_moments(path: Path, model: Any, optimizer: Any) -> None:
    """One tensor after the other, so that they are never all in memory."""
    names = [f"{name}.{key}" for name, _ in _updated(model, optimizer) for key in KEYS]
    with TensorFileWriter(path, {}, {"format": "pt"}, later=names) as writer:
        for name, moment in moments_of(model, optimizer):
            writer.add(name, TensorInfo(tuple(moment.shape), moment.dtype))
            writer.append(name, moment)


def moments_of(model: Any, optimizer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Every moment by its name in the file, whole and on the CPU; processes that have parts of them
    ask together."""
    for name, parameter in _updated(model, optimizer):
        for key in KEYS:
            value = optimizer.state[parameter].get(key)
            if value is not None:
                whole = value.full_tensor() if hasattr(value, "full_tensor") else value
                yield f"{name}.{key}", whole.cpu()


def put_moments(model: Any, optimizer: Any, file: TensorFile, reset: str | None) -> None:
    """Give the optimizer the moments of the file, but for the parameters in the part `reset`, as
    `2-3.mlp`, which begin without; empty for all of them, None for none."""
    # Imported here because it takes a second that only this needs.
    from torch.distributed.tensor import DTensor, distribute_tensor

    part, content = None if reset is None else find_part(reset), optimizer.state_dict()
    for number, (name, parameter) in enumerate(_updated(model, optimizer)):
        if f"{name}.step" not in file.tensors or (part is not None and part.holds(name)):
            continue
        state = {key: file.read_tensor(f"{name}.{key}") for key in KEYS}
        if isinstance(parameter, DTensor):
            for key in KEYS[:2]:
                whole = state[key].to(parameter.device)
                state[key] = distribute_tensor(whole, parameter.device_mesh, parameter.placements)
        content["state"][number] = state
    optimizer.load_state_dict(content)


def _updated(model: Any, optimizer: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that the optimizer updates, in its order, by their names."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield names[parameter].removeprefix("module."), parameter
