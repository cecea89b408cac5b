"""The window that KeepWindow keeps of a training that is not ours."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.errors import CheckpointError, RecipeError, WindowError
from relex.storage import open_store
from relex.training import run_training
from relex.trl import KeepWindow
from relex.window import open_window
from relex.window.layout import read_window_manifest
from tests.relex.training.test_process import job_in, small_recipe, stored_files
from tests.window_training import NUM_STEPS, trainer

DOCS = Path(__file__).parents[2] / "docs/other-trainers.md"


def keep(window: Path, base: Path = TOY_BASE, **options: Any) -> KeepWindow:
    return KeepWindow(str(window), str(base), **{"snapshot_dtype": "float32", **options})


def assert_kept(out: Path, steps: int = NUM_STEPS) -> None:
    """Every step of the window is bit for bit what the model was."""
    base = Checkpoint(TOY_BASE)
    window = open_window(str(out / "window"), base=base)
    assert window.steps == tuple(range(1, steps + 1))
    for step in window.steps:
        state = torch.load(out / f"state-{step}.pt")
        for name in base.tensors:
            assert torch.equal(window.read(step, name), state[name].view(-1)), name
    manifest = read_window_manifest(open_store(str(out / "window")))
    assert manifest is not None and manifest.facts.complete
    assert not list((out / "trainer").glob(".relex*"))


def test_every_step_is_what_the_model_was(tmp_path: Path) -> None:
    trainer(tmp_path, "plain", keep(tmp_path / "window")).train()
    assert_kept(tmp_path)
    with pytest.raises(WindowError, match="holds a whole window already; remove it"):
        trainer(tmp_path, "plain", keep(tmp_path / "window")).train()


def test_the_first_steps_are_kept_of_a_long_training(tmp_path: Path) -> None:
    trainer(tmp_path, "plain", keep(tmp_path / "window", steps=2)).train()
    assert_kept(tmp_path, steps=2)


def test_a_training_that_goes_on_has_the_window_of_one_that_was_never_stopped(
    tmp_path: Path,
) -> None:
    trainer(tmp_path / "whole", "plain", keep(tmp_path / "whole/window")).train()
    saving = {"save_strategy": "steps", "save_steps": 2}
    out = tmp_path / "stopped"
    killed = trainer(out, "plain", keep(out / "window"), **saving)
    step = killed.training_step

    def dies(*arguments: Any) -> Any:
        if killed.state.global_step == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    killed.training_step = dies
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    again = trainer(out, "plain", keep(out / "window"), **saving)
    again.train(resume_from_checkpoint=True)
    assert_kept(out)
    files = [
        read_window_manifest(open_store(str(tmp_path / name / "window"))).files
        for name in ("whole", "stopped")
    ]
    assert files[0] == files[1]

    lost = trainer(out, "plain", keep(tmp_path / "other"), **saving)
    with pytest.raises(WindowError, match="has no step 1, and training goes on after step"):
        lost.train(resume_from_checkpoint=True)


def assert_adapters_kept(out: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(TOY_BASE, dtype=torch.float32)
    window = open_window(str(out / "window"), base=Checkpoint(TOY_BASE))
    assert window.steps == tuple(range(1, NUM_STEPS + 1))
    state = torch.load(out / f"state-{NUM_STEPS}.pt")
    name = "model.layers.0.mlp.down_proj"
    low, high = (
        state[f"base_model.model.{name}.lora_{letter}.default.weight"] for letter in ("A", "B")
    )
    expected = base.get_submodule(name).weight + 4 * high @ low
    found = window.read(NUM_STEPS, f"{name}.weight").view(expected.shape)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert not torch.equal(expected, base.get_submodule(name).weight)


def test_of_a_training_with_peft_the_adapters_are_kept(tmp_path: Path) -> None:
    trainer(tmp_path, "lora", keep(tmp_path / "window")).train()
    assert_adapters_kept(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2", "lora-fsdp2"])
def test_two_processes_keep_one_window(kind: str, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    # As a module: a script's own folder comes first, and `tests/relex` would stand for `relex`.
    script = ["-m", "tests.window_training"]
    command = [sys.executable, *launch, *script, tmp_path, kind]
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
    if "lora" in kind:
        assert_adapters_kept(tmp_path)
    else:
        assert_kept(tmp_path)


def changed_base(folder: Path, change: float = 0.0, dtype: torch.dtype = torch.bfloat16) -> Path:
    folder.mkdir()
    for path in TOY_BASE.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(TOY_BASE / "model.safetensors")
    save_file(
        {n: (it + change).to(dtype) for n, it in weights.items()}, folder / "model.safetensors"
    )
    return folder


def test_another_base_is_refused_before_training(tmp_path: Path) -> None:
    other = changed_base(tmp_path / "base", change=0.5)
    with pytest.raises(CheckpointError, match="has other values than in"):
        trainer(tmp_path, "plain", keep(tmp_path / "window", other)).train()


def test_a_base_that_bfloat16_cannot_hold_is_kept_rounded_unless_it_is_asked_for(
    tmp_path: Path,
) -> None:
    base = changed_base(tmp_path / "base", dtype=torch.float32)
    with pytest.raises(RecipeError, match="snapshot_dtype: bfloat16 cannot hold the weights"):
        asked = keep(tmp_path / "window", base, snapshot_dtype="bfloat16")
        trainer(tmp_path, "plain", asked).train()
    trainer(tmp_path, "plain", keep(tmp_path / "window", base, snapshot_dtype="auto")).train()
    manifest = read_window_manifest(open_store(str(tmp_path / "window")))
    assert manifest is not None and manifest.facts.precision == "rounded"


SAME_RUN = """
import sys
from pathlib import Path
from relex.problems import load_problems
from relex.rewards import build_rewards, end_rewards
from relex.training.grpo import build_arguments, build_trainer, load_policy
from relex.training.job import TrainingJob
from relex.training.judge import computed_terms
from relex.trl import KeepWindow

job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())
arguments, model = build_arguments(job), load_policy(job)
rewards = build_rewards(computed_terms(job.recipe), 60.0)
problems = load_problems(job.recipe.problems.train)
trainer = build_trainer(job, arguments, model, rewards, problems)
trainer.add_callback(KeepWindow(job.window, job.base, snapshot_dtype="float32"))
trainer.train()
end_rewards(rewards)
"""


@pytest.mark.slow
def test_the_window_of_a_run_is_that_of_relex_train_byte_for_byte(tmp_path: Path) -> None:
    ours, theirs = (job_in(tmp_path / name, small_recipe()) for name in ("ours", "theirs"))
    run_training(ours, lambda event: None, lambda line: None)
    job = tmp_path / "theirs.json"
    job.write_text(theirs.model_dump_json())
    subprocess.run([sys.executable, "-c", SAME_RUN, str(job)], check=True)
    assert stored_files(theirs) == stored_files(ours)


@pytest.mark.slow
def test_the_example_of_the_docs_keeps_what_trl_trains(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 15
    program = example.replace('"Qwen/Qwen2.5-0.5B"', repr(str(TOY_BASE)))
    program = program.replace("report_to=[]", "report_to=[], use_cpu=True")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    window = open_window(str(tmp_path / "window"), base=Checkpoint(TOY_BASE))
    assert window.steps == (1, 2, 3)
    name = "model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(window.read(3, name), Checkpoint(TOY_BASE).read(name))
