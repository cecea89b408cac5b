"""The parent's side of training: start the process, pass on what it reports."""

import os
import sys
from collections.abc import Callable

import torch

from relex.child_output import LogLine
from relex.children import AnyChild, Child
from relex.device import resolve_device
from relex.errors import TrainingError
from relex.storage import open_store
from relex.storage.atomic import write_atomic
from relex.training.events import StepTrained, TrainingEvent, parse_event
from relex.training.job import TrainingJob
from relex.training.preflight import check_one_machine, check_training
from relex.window.layout import read_window_manifest

MEETING = ("MASTER_ADDR", "MASTER_PORT", "RELEX_NODE_RANK")
"""Variables by which a cluster says to the nodes of a training where they meet."""

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


Begin = Callable[[TrainingJob, LogLine], AnyChild]
"""Starts the training of a job."""


def begin_here(job: TrainingJob, on_log: LogLine) -> AnyChild:
    """On this machine; raises ResourceError when it cannot train the recipe."""
    check_training(job.recipe)
    write_atomic(job.file, job.model_dump_json().encode())
    return Child(_command(job), on_log, {**ENVIRONMENT, **_device_environment(job)})


def run_training(
    job: TrainingJob,
    on_event: Callable[[TrainingEvent], None],
    on_log: LogLine,
    begin: Begin = begin_here,
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
    if begin is begin_here:
        check_one_machine(job.recipe)
    if _is_complete(job):
        return
    with begin(job, on_log) as child:
        last_step = 0
        for event in map(parse_event, child.events()):
            on_event(event)
            last_step = event.step if isinstance(event, StepTrained) else last_step
    if not _is_complete(job):
        raise TrainingError(
            f"{job.window}: the training process ended with status 0 after step {last_step} of "
            f"{job.recipe.training.last_step}, and the window is not complete; something in it "
            "called exit: find out what, and start the same recipe again, it goes on from there"
        )
    if job.work:
        job.file.unlink()


def _is_complete(job: TrainingJob) -> bool:
    manifest = read_window_manifest(open_store(job.window, job.connection))
    return manifest is not None and manifest.facts.complete


def _device_environment(job: TrainingJob) -> dict[str, str]:
    """Shows no more GPUs than the recipe asks for: a trainer that sees more refuses to start."""
    if resolve_device(job.recipe.device) == "cpu":
        # Several processes would call it cpu:0, from which no checkpoint can be read again.
        return {"ACCELERATE_TORCH_DEVICE": "cpu"}
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
    num_processes = 1 if on_cpu and not config.shard else config.num_gpus
    if num_processes * config.num_nodes == 1:
        return [sys.executable, *worker]
    meeting = ["--standalone"]
    if config.num_nodes > 1:
        host, port, rank = (os.environ[name] for name in MEETING)
        meeting = ["--nnodes", str(config.num_nodes), "--node-rank", rank]
        meeting += ["--master-addr", host, "--master-port", port]
    return [
        *(sys.executable, "-m", "relex.children", str(os.getpid())),
        *(sys.executable, "-m", "torch.distributed.run", *meeting),
        *("--nproc-per-node", str(num_processes)),
        *worker,
    ]
