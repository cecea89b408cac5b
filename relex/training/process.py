"""The parent's side of training: start the process, pass on what it reports."""

import os
import sys
from collections.abc import Callable

import torch

from relex.child_output import LogLine
from relex.children import Child
from relex.device import resolve_device
from relex.errors import TrainingError
from relex.storage import open_store
from relex.storage.atomic import write_atomic
from relex.training.events import StepTrained, TrainingEvent, parse_event
from relex.training.job import TrainingJob
from relex.training.preflight import check_training
from relex.window.layout import read_window_manifest

ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "warning",
    # vLLM is in the training process, which gives it the weights.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def run_training(
    job: TrainingJob, on_event: Callable[[TrainingEvent], None], on_log: LogLine
) -> None:
    """Train until the window is complete; at once where it is so already.

    A run that was killed is resumed from its rolling checkpoint in `job.work`. On the CPU its
    window is then the same, byte for byte, as without the kill; vLLM samples the rest anew.
    The callbacks are called in this process, `on_event` with each step's metrics as it ends,
    `on_log` line by line.

    Raises ResourceError when this machine cannot train the recipe, the training process's own error
    (UploadError, RewardError ...), StageError when it died without one, TrainingError when it ended
    and the window is not complete.
    """
    check_training(job.recipe)
    if _is_complete(job):
        return
    write_atomic(job.file, job.model_dump_json().encode())
    environment = {**ENVIRONMENT, **_visible_gpus(job)}
    with Child(_command(job), on_log, environment) as child:
        last_step = 0
        for event in map(parse_event, child.events()):
            on_event(event)
            last_step = event.step if isinstance(event, StepTrained) else last_step
    if not _is_complete(job):
        raise TrainingError(
            f"{job.window}: the training process ended with status 0 after step {last_step} of "
            f"{job.recipe.training.steps}, and the window is not complete; something in it called "
            "exit: find out what, and start the same recipe again, it goes on from there"
        )
    job.file.unlink()


def _is_complete(job: TrainingJob) -> bool:
    manifest = read_window_manifest(open_store(job.window, job.connection))
    return manifest is not None and manifest.facts.complete


def _visible_gpus(job: TrainingJob) -> dict[str, str]:
    """Shows no more GPUs than the recipe asks for: a trainer that sees more refuses to start."""
    if resolve_device(job.recipe.device) == "cpu":
        return {}
    indices = ",".join(str(index) for index in range(torch.cuda.device_count()))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", indices).split(",")
    return {"CUDA_VISIBLE_DEVICES": ",".join(visible[: job.recipe.training.num_gpus])}


def _command(job: TrainingJob) -> list[str]:
    """One worker, or torch's launcher with one for each GPU; on the CPU, for each part of a model
    that is sharded.

    The launcher dies with this process and the workers die with the launcher, so that no GPU stays
    occupied when this process is killed.
    """
    worker = ["-m", "relex.training.worker", str(job.file)]
    config = job.recipe.training
    on_cpu = resolve_device(job.recipe.device) == "cpu"
    if config.num_gpus == 1 or (on_cpu and not config.shard):
        return [sys.executable, *worker]
    return [
        *(sys.executable, "-m", "relex.children", str(os.getpid())),
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(config.num_gpus)),
        *worker,
    ]
