"""Two processes that share a model train what one trains."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe
from relex.errors import StageError, TrainingError
from relex.training import StepTrained, TrainingEvent, TrainingResumed, TrainingWarning
from relex.window import open_window
from tests.relex.training.test_process import (
    job_in,
    kill_child_at,
    run,
    small_recipe,
    steps_of,
    stored_files,
)

pytestmark = pytest.mark.slow
SHARDED = {"shard": True, "num_gpus": 2, "completions_per_device_batch": 8}
NUM_ELEMENTS = sum(info.num_elements for info in Checkpoint(TOY_BASE).tensors.values())

TOLD = """
import random, sys
if "relex.training.worker" in " ".join(sys.orig_argv):
    from relex.training.callbacks import KeepSnapshots
    from relex.training.events import TrainingWarning, send
    from relex.training.grpo import PolicyTrainer

    def told(self, prompt_ids, *_, **__):
        # Samples depend on the process, this on the prompt and the place in its group alone.
        found = []
        for place, prompt in enumerate(prompt_ids):
            rng = random.Random(str((prompt, place % self.num_generations)))
            ids = rng.choices(range(3, 13), k=rng.randint(2, 6))
            found.append([*ids, self.eos_token_ids[0]])
        return found, None

    PolicyTrainer._generate_single_turn = told
    end = KeepSnapshots.on_step_end

    def on_step_end(self, args, state, control, model, **_):
        parts = [getattr(it, "_local_tensor", it).numel() for it in model.parameters()]
        send(TrainingWarning(message=f"holds {sum(parts)}"))
        return end(self, args, state, control, model=model, **_)

    KeepSnapshots.on_step_end = on_step_end
"""
REWARD = "def pay(completions, **_):\n    return [float(text.count('1')) for text in completions]\n"


def recipe(**training: Any) -> Recipe:
    stated = small_recipe().training.model_dump(mode="json") | training
    return small_recipe(training=stated, rewards=[{"reward": "ones:pay"}])


@pytest.fixture(autouse=True)
def reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ones.py").write_text(REWARD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def held(events: list[TrainingEvent]) -> list[int]:
    """Elements that the processes hold, each at every step."""
    messages = [event.message for event in events if isinstance(event, TrainingWarning)]
    return [int(it.removeprefix("holds ")) for it in messages if it.startswith("holds ")]


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(TOLD)
    alone, shared = (
        job_in(tmp_path / "alone", recipe()),
        job_in(tmp_path / "two", recipe(**SHARDED)),
    )
    first, second = run(alone), run(shared)

    assert held(first) == [NUM_ELEMENTS] * 5
    assert len(held(second)) == 10
    assert sum(held(second)) == 5 * NUM_ELEMENTS
    assert max(held(second)) < 0.6 * NUM_ELEMENTS
    assert steps_of(second) == steps_of(first) == [1, 2, 3, 4, 5]
    one, two = ([it for it in events if isinstance(it, StepTrained)] for events in (first, second))
    for left, right in zip(one, two, strict=True):
        assert right.reward_mean == pytest.approx(left.reward_mean)
        assert right.loss == pytest.approx(left.loss, rel=1e-3, abs=1e-5)
        assert right.grad_norm == pytest.approx(left.grad_norm, rel=1e-3)

    base = Checkpoint(TOY_BASE)
    windows = [open_window(job.window, base=base) for job in (alone, shared)]
    assert windows[0].tensors == windows[1].tensors
    for step in (1, 5):
        difference, moved = 0.0, 0.0
        for name in base.tensors:
            of_one, of_two = (window.read(step, name) for window in windows)
            start = base.read(name).float()
            difference += float((of_two - of_one).square().sum())
            moved += float((of_one - start).square().sum())
        # The first steps of Adam divide gradients by their size, so that those near zero, which
        # rounding decides, move as far as all others.
        assert moved > 0
        assert difference < 1e-4 * moved


def test_a_killed_run_of_two_processes_resumes_to_the_same_window(tmp_path: Path) -> None:
    """With completions that the sharded model samples, and a reference model."""
    with_kl = recipe(**SHARDED, kl_beta=0.05)
    whole, killed = (job_in(tmp_path / name, with_kl) for name in ("whole", "killed"))
    events = run(whole)
    assert steps_of(events) == [1, 2, 3, 4, 5]
    # The policy is the reference model, in both processes, until it moves.
    kls = [event.kl for event in events if isinstance(event, StepTrained)]
    assert kls[0] == pytest.approx(0, abs=1e-6)
    assert None not in kls and kls[-1] > 1e-6
    with pytest.raises(StageError, match="ended with status -9"):
        run(killed, kill_child_at(step=3))
    assert TrainingResumed(step=2) in run(killed)
    assert stored_files(killed) == stored_files(whole)


BROKEN = """
import os, sys
if "relex.training.worker" in " ".join(sys.orig_argv):
    from relex.training.callbacks import KeepSnapshots

    end = KeepSnapshots.on_step_end

    def on_step_end(self, args, state, control, model, **_):
        if state.global_step == 2 and os.environ["RANK"] == "1":
            next(model.parameters())._local_tensor.data.view(-1)[0] = float("nan")
        return end(self, args, state, control, model=model, **_)

    KeepSnapshots.on_step_end = on_step_end
"""


def test_a_weight_of_another_process_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    with pytest.raises(TrainingError, match=r"step 2: the weights cannot be kept: .*not finite"):
        run(job_in(tmp_path, recipe(**SHARDED)))


@pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
def test_vllm_in_every_process_gets_the_weights_of_the_sharded_model(tmp_path: Path) -> None:
    rollouts = {"engine": "vllm", "max_num_seqs": 64}
    steps = {"steps": 3, "learning_rate": 2e-3}
    events = run(job_in(tmp_path, recipe(**SHARDED, **steps, rollouts=rollouts)))
    trained = [event for event in events if isinstance(event, StepTrained)]
    assert len(trained) == 3
    for event in trained:
        # What vLLM sampled is as probable as in the trainer: it had the weights of the step.
        assert event.importance_ratio == pytest.approx(1, abs=1e-3)
        assert event.importance_beyond_fraction == 0
