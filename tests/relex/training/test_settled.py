"""Training with `steps: auto` ends where its window is settled, and a resumed one ends there too.

The trainer's steps are known weights here, so that it is known where they settle.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from relex.checkpoints import Checkpoint
from relex.config import check_recipe
from relex.storage import open_store
from relex.training import TrainingJob
from relex.training.callbacks import KeepSnapshots, RollCheckpoint
from relex.training.filling import filling, open_job_window
from relex.training.part import PartWriter
from relex.training.settled import StopWhenSettled
from relex.window.layout import WindowManifest, read_window_manifest

SETTLED_STEP, MOST_STEPS = 20, 27
SHAPES = {
    f"model.layers.{layer}.{module}.weight": (20, 10)
    for layer in range(2)
    for module in ("mlp.up_proj", "self_attn.q_proj")
}
State = Mapping[str, torch.Tensor]
StateAt = Callable[[TrainingJob, int], State]


def job_in(folder: Path) -> TrainingJob:
    (folder / "base").mkdir(parents=True)
    rng = torch.Generator().manual_seed(0)
    base = {name: torch.randn(shape, generator=rng) for name, shape in SHAPES.items()}
    save_file(base, folder / "base" / "model.safetensors")
    toy = {"kind": "toy"}
    value = {
        "name": "auto",
        "device": "cpu",
        "base": {"path": "toy"},
        "problems": {
            "train": {**toy, "split": "train"},
            "validation": {**toy, "split": "validation"},
            "test": [{"name": "toy", "source": {**toy, "split": "test"}}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": {
            "steps": "auto",
            "most_steps": MOST_STEPS,
            "learning_rate": 1e-4,
            "checkpoint_every_steps": 5,
            "snapshot_dtype": "float32",
        },
        "extrapolation": {"targets": [100]},
        "evaluation": {"grader": "exact_match"},
    }
    return TrainingJob(
        recipe=check_recipe(value, "auto"),
        base=str(folder / "base"),
        window=str(folder / "window"),
        work=str(folder / "work"),
    )


def straight(job: TrainingJob, step: int, seed: int = 0) -> State:
    """Weights that move along one line."""
    base, rng = Checkpoint(Path(job.base)), torch.Generator().manual_seed(seed)
    return {
        name: base.read_tensor(name) + step * 1e-3 * torch.randn(shape, generator=rng)
        for name, shape in SHAPES.items()
    }


def wandering(job: TrainingJob, step: int) -> State:
    """Weights that have nothing to do with those of the step before."""
    return straight(job, step=10, seed=step)


def train(job: TrainingJob, state_at: StateAt, begin: int = 1) -> Iterator[int]:
    """What the trainer does with the callbacks; gives the steps of which it keeps a checkpoint."""
    config = job.recipe.training
    arguments = TrainingArguments(output_dir=str(job.checkpoints), use_cpu=True, report_to=[])
    state, control = TrainerState(max_steps=config.last_step), TrainerControl()
    writer = open_job_window(job)
    writer.drop_after(begin - 1)
    with filling(job, writer) as spool:
        parts = PartWriter(spool.folder, spool.schema, spool.metadata)
        keeping = KeepSnapshots(
            config.kept_steps, lambda: state_at(job, state.global_step), parts, spool
        )
        callbacks = [
            keeping,
            StopWhenSettled(job, keeping, spool),
            RollCheckpoint(config, spool, None),
        ]
        for step in range(begin, config.last_step + 1):
            state.global_step = step
            for callback in callbacks:
                callback.on_step_end(arguments, state, control)
            keeping.end(arguments)
            if control.should_save:
                spool.wait()
                yield step
            if control.should_training_stop:
                break


def manifest_of(job: TrainingJob) -> WindowManifest:
    manifest = read_window_manifest(open_store(job.window))
    assert manifest is not None and manifest.facts.complete
    return manifest


def test_it_stops_where_the_window_is_settled(tmp_path: Path, sent: Any) -> None:
    job = job_in(tmp_path)
    saved = list(train(job, straight))
    # From a checkpoint of the last step a resumed run would train on.
    assert saved == [5, 10, 15]
    window = manifest_of(job)
    assert window.steps == window.facts.planned_steps == tuple(range(1, SETTLED_STEP + 1))
    looks = [event for event in sent() if event["event"] == "looked"]
    assert [(look["step"], look["is_settled"]) for look in looks] == [
        (10, False),
        (15, False),
        (20, True),
    ]
    assert looks[-1]["skill"] == pytest.approx(1.0, abs=1e-3)


def test_it_goes_on_to_the_last_step_where_nothing_settles(tmp_path: Path, sent: Any) -> None:
    job = job_in(tmp_path)
    list(train(job, wandering))
    assert manifest_of(job).steps == tuple(range(1, MOST_STEPS + 1))
    # At the last step there is nothing to decide.
    assert [event["step"] for event in sent() if event["event"] == "looked"] == [10, 15, 20, 25]


@pytest.mark.parametrize("resumed_step", [5, 15])
def test_a_resumed_run_stops_at_the_same_step(resumed_step: int, tmp_path: Path, sent: Any) -> None:
    whole, killed = job_in(tmp_path / "whole"), job_in(tmp_path / "killed")
    list(train(whole, straight))
    for step in train(killed, straight):
        if step == resumed_step:
            break
    shutil.rmtree(killed.spool)
    list(train(killed, straight, begin=resumed_step + 1))
    assert manifest_of(killed).files == manifest_of(whole).files
