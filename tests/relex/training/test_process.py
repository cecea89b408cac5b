"""The training process from outside: whole runs on the toy, killed and resumed."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from relex.checkpoints import TOY_BASE
from relex.config import Recipe, check_recipe
from relex.errors import NoLearningError, RewardError, StageError, TrainingError
from relex.storage import open_store
from relex.storage.manifest import FileEntry
from relex.training import (
    StepTrained,
    TrainingEvent,
    TrainingJob,
    TrainingResumed,
    TrainingWarning,
    run_training,
)
from relex.window.layout import read_window_manifest
from tests.processes import command_line

NUM_STEPS = 5
CHECKPOINT_EVERY_STEPS = 2
"""By itself: a third of them, rounded up."""


def small_recipe(**changes: Any) -> Recipe:
    training = {
        "steps": NUM_STEPS,
        "learning_rate": 1e-4,
        "prompts_per_step": 8,
        "completions_per_prompt": 4,
        "completions_per_device_batch": 16,
        "gradient_checkpointing": False,
        "max_completion_tokens": 8,
        "snapshot_dtype": "float32",
    }
    value = {
        "name": "small",
        "device": "cpu",
        "base": {"path": "toy"},
        "problems": {
            "train": {"kind": "toy", "split": "train"},
            "validation": {"kind": "toy", "split": "validation"},
            "test": [{"name": "toy", "source": {"kind": "toy", "split": "test"}}],
        },
        "rewards": [{"reward": "exact_match"}],
        "training": training,
        "extrapolation": {"targets": [10]},
        "evaluation": {"grader": "exact_match"},
    }
    return check_recipe({**value, **changes}, "small")


def job_in(folder: Path, recipe: Recipe) -> TrainingJob:
    return TrainingJob(
        recipe=recipe,
        base=str(TOY_BASE),
        window=str(folder / "window"),
        work=str(folder / "work"),
    )


def run(
    job: TrainingJob, on_event: Callable[[TrainingEvent], None] = lambda _: None
) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []

    def record(event: TrainingEvent) -> None:
        events.append(event)
        on_event(event)

    run_training(job, record, lambda _: None)
    return events


def kill_child_at(step: int) -> Callable[[TrainingEvent], None]:
    def on_event(event: TrainingEvent) -> None:
        if isinstance(event, StepTrained) and event.step == step:
            # Not the other children: the servers of other tests are among them.
            for child in psutil.Process().children():
                if "relex.training.worker" in command_line(child):
                    child.send_signal(signal.SIGKILL)

    return on_event


def stored_files(job: TrainingJob) -> dict[str, FileEntry]:
    manifest = read_window_manifest(open_store(job.window))
    assert manifest is not None and manifest.facts.complete
    return manifest.files


def steps_of(events: list[TrainingEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, StepTrained)]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_window_byte_for_byte(tmp_path: Path) -> None:
    recipe = small_recipe()
    whole = job_in(tmp_path / "whole", recipe)
    events = run(whole)
    assert steps_of(events) == [1, 2, 3, 4, 5]
    # The reward is the grader too.
    trained = [event for event in events if isinstance(event, StepTrained)]
    assert [event.accuracy for event in trained] == [event.reward_mean for event in trained]
    killed = job_in(tmp_path / "killed", recipe)

    with pytest.raises(StageError, match="ended with status -9"):
        run(killed, kill_child_at(step=3))
    events = run(killed)

    assert TrainingResumed(step=2) in events
    assert steps_of(events) == [3, 4, 5]
    assert stored_files(killed) == stored_files(whole)


@pytest.mark.slow
def test_every_completion_is_graded_with_what_its_own_problem_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"{n}+1=", "answer": str(n + 1), "n": {"is": n}} for n in range(9)]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "own.py").write_text(
        "def pay(prompts, answers, extras, **_):\n"
        "    for prompt, answer, extra in zip(prompts, answers, extras, strict=True):\n"
        "        n = extra['n']['is']\n"
        "        assert (prompt, answer) == (f'{n}+1=', str(n + 1))\n"
        "        yield float(n)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    train = {"kind": "jsonl", "path": str(tmp_path / "p.jsonl"), "extra_columns": ["n"]}
    small = small_recipe().model_dump(mode="json", exclude_none=True)
    recipe = small_recipe(
        problems=small["problems"] | {"train": train},
        rewards=[{"reward": "own:pay"}],
        training=small["training"] | {"steps": 2},
    )
    trained = [event for event in run(job_in(tmp_path, recipe)) if isinstance(event, StepTrained)]
    assert all(event.reward_mean > 0 for event in trained)


@pytest.mark.slow
def test_a_window_that_is_complete_is_not_trained_again(tmp_path: Path) -> None:
    job = job_in(tmp_path, small_recipe())
    run(job)
    assert run(job) == []
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.slow
def test_a_run_whose_window_was_removed_starts_again_and_says_so(tmp_path: Path) -> None:
    job = job_in(tmp_path, small_recipe())
    with pytest.raises(StageError):
        run(job, kill_child_at(step=3))
    shutil.rmtree(tmp_path / "window")

    events = run(job)

    warnings = [event.message for event in events if isinstance(event, TrainingWarning)]
    assert "it starts again at step 1" in warnings[0]
    assert steps_of(events) == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_run_that_samples_one_answer_per_question_is_warned_about(tmp_path: Path) -> None:
    recipe = small_recipe()
    cold = recipe.training.model_copy(update={"temperature": 1e-4, "kl_beta": 0.1})
    events = run(job_in(tmp_path, recipe.model_copy(update={"training": cold})))

    warnings = [event.message for event in events if isinstance(event, TrainingWarning)]
    assert warnings[0].startswith("step 1: all completions of a question are the same")
    assert warnings[1].startswith("step 3: 100 % of the groups had one reward")
    assert all(event.kl is not None for event in events if isinstance(event, StepTrained))


def test_a_reward_that_fails_ends_the_run_with_its_name_and_the_completion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "def moody(completions, answers, **_):\n    return [float('nan') for _ in answers]\n"
    (tmp_path / "moody_rewards.py").write_text(module)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    recipe = small_recipe(rewards=[{"reward": "moody_rewards:moody"}])

    with pytest.raises(
        RewardError, match=r"moody_rewards\.moody: returned nan, .*completion 1 of "
    ):
        run(job_in(tmp_path, recipe))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("sys.exit(0)", r"exits.pay: raised SystemExit: 0; completion 1 of "),
        ("os._exit(0)", r"exits.pay: its process ended with status 0 on "),
        ("os.killpg(0, 9)", r"exits.pay: its process ended with status -9 on "),
    ],
)
def test_a_reward_that_exits_ends_the_run_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, message: str
) -> None:
    (tmp_path / "exits.py").write_text(f"import os, sys\ndef pay(completions, **_): {act}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    job = job_in(tmp_path, small_recipe(rewards=[{"reward": "exits:pay"}]))
    with pytest.raises(RewardError, match=message):
        run(job)
    manifest = read_window_manifest(open_store(job.window))
    assert manifest is None or not manifest.facts.complete


@pytest.mark.slow
def test_a_training_process_that_exits_early_is_an_error_with_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code of the training process itself, here an import hook, calls for the end."""
    source = """
import os, sys
if "relex.training.worker" in " ".join(sys.orig_argv):
    from relex.training.callbacks import ReportSteps
    begin = ReportSteps.on_step_begin
    ReportSteps.on_step_begin = lambda self, args, state, control, **_: (
        os._exit(0) if state.global_step == 2 else None
    )
"""
    (tmp_path / "sitecustomize.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    job = job_in(tmp_path, small_recipe())
    with pytest.raises(TrainingError) as caught:
        run(job)
    assert "ended with status 0 after step 2 of 5, and the window is not complete" in str(
        caught.value
    )
    monkeypatch.undo()
    assert steps_of(run(job)) == [3, 4, 5]
    stored_files(job)


@pytest.mark.slow
def test_a_reward_that_leaves_threads_does_not_keep_training_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
import threading, time
def pay(completions, **_):
    print('\\x1e 12')
    threading.Thread(target=time.sleep, args=[10**6]).start()
    return [0.0] * len(completions)
"""
    (tmp_path / "leaves.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    job, lines = job_in(tmp_path, small_recipe(rewards=[{"reward": "leaves:pay"}])), []
    run_training(job, lambda _: None, lines.append)
    stored_files(job)
    assert any(line.startswith("reward leaves.pay: left 5 threads behind (") for line in lines)


WATCHED_REWARD = """
import json
from pathlib import Path
from relex.toy.rewards import chatty

def pay(completions, answers, **_):
    with (Path(__file__).parent / "graded.jsonl").open("a") as file:
        file.write(json.dumps([completions, answers]) + "\\n")
    return chatty(completions, answers)
"""


@pytest.mark.slow
def test_a_run_whose_accuracy_falls_is_ended_and_so_is_the_resumed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reward pays for words in place of answers, and writes down what it is called with."""
    (tmp_path / "watched_reward.py").write_text(WATCHED_REWARD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    recipe = small_recipe(rewards=[{"reward": "watched_reward:pay"}])
    falling = {"steps": 9, "learning_rate": 1e-3, "stop_after_falling_steps": 3}
    falling["checkpoint_every_steps"] = CHECKPOINT_EVERY_STEPS
    training = recipe.training.model_copy(update=falling)
    job = job_in(tmp_path, recipe.model_copy(update={"training": training}))
    events: list[TrainingEvent] = []

    with pytest.raises(NoLearningError) as first:
        run(job, events.append)
    num_steps = len(steps_of(events))
    with pytest.raises(NoLearningError) as second:
        run(job, events.append)

    assert f"step {num_steps}: stopped, because its accuracy falls: " in str(first.value)
    assert str(second.value) == str(first.value)
    resumed = [event.step for event in events if isinstance(event, TrainingResumed)]
    assert resumed == [(num_steps - 1) // CHECKPOINT_EVERY_STEPS * CHECKPOINT_EVERY_STEPS]
    assert steps_of(events) == [*range(1, num_steps + 1), *range(resumed[0] + 1, num_steps + 1)]
    batches = [json.loads(line) for line in (tmp_path / "graded.jsonl").read_text().splitlines()]
    trained = [event for event in events if isinstance(event, StepTrained)]
    for event, (completions, answers) in zip(trained, batches, strict=True):
        pairs = zip(completions, answers, strict=True)
        correct_GK = np.array([text.strip() == gold for text, gold in pairs]).reshape(8, 4)
        assert event.accuracy == pytest.approx(correct_GK.mean(), abs=1e-6)
        assert event.accuracy_spread == pytest.approx(correct_GK.mean(axis=1).std(), abs=1e-6)
        assert event.reward_means.keys() == {"watched_reward.pay"}
    assert trained[0].accuracy != 0
