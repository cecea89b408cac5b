"""GRPO as a trainer: from the start, or from the rolling checkpoint, to a full window."""

import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.checkpoints.model_state import BaseNames
from relex.problems import load_problems
from relex.rewards import build_rewards, end_rewards
from relex.training.callbacks import KeepSnapshots, ReportSteps, RollCheckpoint
from relex.training.events import TrainingResumed, TrainingWarning, send
from relex.training.filling import filling, open_job_window
from relex.training.grpo import PolicyTrainer, build_arguments, build_trainer, load_policy
from relex.training.job import TrainingJob
from relex.training.judge import computed_terms, why_not_judged
from relex.training.lora import adapter_of
from relex.training.moments import CarryMoments
from relex.training.part import PartWriter, State
from relex.training.rolling import checkpoint_step, newest_checkpoint, remove_checkpoints
from relex.training.settled import StopWhenSettled
from relex.training.shared import shared_place
from relex.training.snapshots import HF_METADATA, check_model_state, snapshot_schema
from relex.window import WindowWriter


def train(job: TrainingJob) -> None:
    """Train from the start or from the rolling checkpoint until the window is complete.

    Only the main process touches the window, the checkpoints and the parent.
    """
    config = job.recipe.training
    arguments = build_arguments(job)
    is_main, is_first_of_node = arguments.process_index == 0, arguments.local_process_index == 0
    shared = shared_place(job)
    base = Checkpoint(Path(job.base))
    rewards = build_rewards(computed_terms(job.recipe), job.recipe.reward_seconds)
    problems = load_problems(job.recipe.problems.train)
    model = load_policy(job)
    schema = snapshot_schema(base, config.snapshot_dtype)
    by_base = BaseNames(model, base)
    # What is in 4 bit has other tensors than the base.
    if is_main and (config.lora is None or not config.lora.quantize):
        check_model_state(by_base.of(model.state_dict()), base, schema)
    trainer = build_trainer(job, arguments, model, rewards, problems)
    adapter = None if config.lora is None else adapter_of(trainer.model, job.recipe.base.path)

    with ExitStack() as stack:
        spool = None
        if is_main:
            if shared is not None:
                shared.take_checkpoint()
            spool = stack.enter_context(filling(job, _open_window(job), adapter))
            if shared is not None:
                spool.take_part = shared.take_part
        arguments.distributed_state.wait_for_everyone()
        if shared is not None:
            if is_first_of_node and not is_main:
                shared.take_checkpoint()
            arguments.distributed_state.wait_for_everyone()
        writer = None
        if spool is not None:
            writer = PartWriter(spool.folder, spool.schema, spool.metadata)
        elif config.shard:
            # What is not on the first node has to get there.
            number, give = arguments.process_index, None
            if shared is not None and number >= config.num_gpus:
                give = shared.give_part
            writer = PartWriter(job.spool, schema, HF_METADATA, number, give)
        checkpoint = newest_checkpoint(job.checkpoints)
        if is_main:
            names = [reward.name for reward in rewards[: len(job.recipe.rewards)]]
            trainer.add_callback(ReportSteps(config, names, why_not_judged(problems)))
            send(trainer.rollouts_chosen())
            if checkpoint is not None:
                send(TrainingResumed(step=checkpoint_step(checkpoint)))
        # An adapter has names of its own, and rows of a sharded tensor cannot be renamed.
        own_state = trainer.own_state
        if config.lora is None and not config.shard:
            own_state = partial(_by_base_names, trainer, by_base)
        num_parts = config.num_processes if config.shard else 1
        keeping = KeepSnapshots(config.kept_steps, own_state, writer, spool, num_parts)
        trainer.add_callback(keeping)
        if config.steps == "auto":
            trainer.add_callback(StopWhenSettled(job, keeping, spool))
        trainer.add_callback(RollCheckpoint(config, spool, shared))
        trainer.add_callback(CarryMoments(job))
        trainer.resume(checkpoint)
    if is_first_of_node:
        shutil.rmtree(job.checkpoints, ignore_errors=True)
    if is_main and shared is not None:
        shared.remove_checkpoints()
    end_rewards(rewards)


def _by_base_names(trainer: PolicyTrainer, by_base: BaseNames) -> State:
    return by_base.of(trainer.own_state())


def _open_window(job: TrainingJob) -> WindowWriter:
    """The window, holding exactly the steps up to the one that training goes on from."""
    config = job.recipe.training
    writer = open_job_window(job)
    checkpoint = newest_checkpoint(job.checkpoints)
    resumed_step = 0 if checkpoint is None else checkpoint_step(checkpoint)
    if {step for step in config.kept_steps if step <= resumed_step} - set(writer.steps):
        message = (
            f"{job.window}: lacks steps before step {resumed_step}, where training was to go on; "
            "it starts again at step 1"
        )
        send(TrainingWarning(message=message))
        checkpoint, resumed_step = None, 0
    remove_checkpoints(job.checkpoints, keep=checkpoint)
    shared = shared_place(job)
    if shared is not None:
        shared.remove_checkpoints(keep="" if checkpoint is None else checkpoint.name)
    writer.drop_after(resumed_step)
    return writer
