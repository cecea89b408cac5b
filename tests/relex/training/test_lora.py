"""Adapters are trained, kept step by step, and make candidates like any other window."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

import relex
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.cli.window import list_steps, verify
from relex.config.lora import LoraConfig
from relex.errors import StageError, TrainingError, WindowError
from relex.training import TrainingResumed, filling
from relex.training.adapter import Adapter
from relex.training.lora import adapter_of, adapter_state, merged_parameters, peft_config
from relex.window import open_window, unpack
from tests.relex.training.test_process import (
    job_in,
    kill_child_at,
    run,
    small_recipe,
    steps_of,
    stored_files,
)

LORA = {"rank": 3, "alpha": 7, "targets": ["q_proj", "down_proj"]}


def lora_recipe(**lora: Any) -> Any:
    training = small_recipe().training.model_dump(mode="json")
    return small_recipe(training={**training, "lora": {**LORA, **lora}})


def new_model(**lora: Any) -> peft.PeftModel:
    """The toy with adapters that do something."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(TOY_BASE, dtype=torch.float32)
    model = peft.get_peft_model(base, peft_config(LoraConfig(**{**LORA, **lora}), base))
    move(model)
    return model


def move(model: peft.PeftModel) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn(parameter.shape))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[int, Any]]:
    """A window of adapters, and what PEFT merges at each of its steps."""
    job = job_in(tmp_path_factory.mktemp("kept"), lora_recipe())
    model, merged = new_model(), {}
    with filling(job, adapter=adapter_of(model, "toy")) as window:
        for step in range(1, 6):
            move(model)
            window.keep(step, adapter_state(model))
            model.merge_adapter()
            merged[step] = {
                name.removeprefix("base_model.model.").replace(".base_layer", ""): tensor.clone()
                for name, tensor in model.state_dict().items()
                if "lora_" not in name
            }
            model.unmerge_adapter()
    return job.window, merged


def test_every_step_is_what_peft_merges(kept: tuple[str, dict[int, Any]]) -> None:
    where, merged = kept
    base = Checkpoint(TOY_BASE)
    window = open_window(where, base=base)
    assert window.steps == (1, 2, 3, 4, 5)
    assert window.base_digest == base.digest()
    for step in window.steps:
        for name, info in base.tensors.items():
            found = window.read(step, name).reshape(info.shape).float()
            torch.testing.assert_close(found, merged[step][name], rtol=1e-5, atol=1e-6)
    moved = window.read(5, "model.layers.0.self_attn.q_proj.weight")
    assert not torch.equal(moved, base.read("model.layers.0.self_attn.q_proj.weight").float())


def test_the_commands_of_windows_take_one_of_adapters(
    kept: tuple[str, dict[int, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, merged = kept
    list_steps(where)
    verify(where)
    verify(where, full=True, base=str(TOY_BASE))
    said = capsys.readouterr().out
    assert "5 steps, adapters, 0." in said
    assert "every digest is right, and every step replays" in said

    base = Checkpoint(TOY_BASE)
    unpack(open_window(where, base=base), 4, base, tmp_path / "step")
    name = "model.layers.1.mlp.down_proj.weight"
    found = Checkpoint(tmp_path / "step").read_tensor(name)
    torch.testing.assert_close(found, merged[4][name], rtol=1e-5, atol=1e-6)


def test_the_config_of_a_window_says_nothing_about_this_machine() -> None:
    adapter = adapter_of(new_model(), "Qwen/some")
    assert json.loads(adapter.config)["base_model_name_or_path"] == "Qwen/some"
    assert str(TOY_BASE) not in adapter.config


def test_every_linear_layer_but_the_output_layer_is_adapted_unless_some_are_named() -> None:
    names = {name.split(".")[-3] for name in adapter_of(new_model(targets=[]), "toy").schema}
    attention, mlp = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
    assert names == {*attention, *mlp}


def test_a_target_that_the_base_does_not_have_is_named() -> None:
    with pytest.raises(TrainingError, match=r"lora\.targets: .* no module proj; .*down_proj"):
        new_model(targets=["q_proj", "proj"])


def test_an_adapter_that_does_not_fit_the_base_is_refused_before_training(tmp_path: Path) -> None:
    adapter = adapter_of(new_model(), "toy")
    other = {name.replace("layers.0", "layers.99"): it for name, it in adapter.schema.items()}
    job = job_in(tmp_path, lora_recipe())
    with (
        pytest.raises(WindowError, match=r"training\.lora: adapts model\.layers\.99"),
        filling(job, adapter=Adapter(other, adapter.config)),
    ):
        pass


def test_a_trainer_that_gives_no_adapter_is_refused(tmp_path: Path) -> None:
    job = job_in(tmp_path, lora_recipe())
    with pytest.raises(TrainingError, match="has to give an adapter"), filling(job):
        pass


@pytest.mark.parametrize("targets", [LORA["targets"], []])
def test_rollouts_get_what_peft_merges_and_the_base_stays_as_it_is(targets: list[str]) -> None:
    model = new_model(targets=targets)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = {name: tensor.clone() for name, tensor in merged_parameters(model)}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    expected = dict(model.merge_and_unload().named_parameters())
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_adapters_byte_for_byte(tmp_path: Path) -> None:
    stated = lora_recipe().model_dump(mode="json")
    recipe = small_recipe(training={**stated["training"], "kl_beta": 0.05})
    whole, killed = job_in(tmp_path / "whole", recipe), job_in(tmp_path / "killed", recipe)
    assert steps_of(run(whole)) == [1, 2, 3, 4, 5]
    with pytest.raises(StageError, match="ended with status -9"):
        run(killed, kill_child_at(step=3))
    assert TrainingResumed(step=2) in run(killed)
    assert stored_files(killed) == stored_files(whole)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_a_base_in_4_bit_is_trained_by_adapters_in_float32(tmp_path: Path) -> None:
    job = job_in(tmp_path, lora_recipe(quantize=True))
    assert steps_of(run(job)) == [1, 2, 3, 4, 5]
    window = open_window(job.window, base=Checkpoint(TOY_BASE))
    name = "model.layers.0.self_attn.q_proj.weight"
    first, last = (window.product(step, name) for step in (1, 5))
    assert 0 < first.left_MK.norm() < last.left_MK.norm()


@pytest.mark.slow
def test_the_whole_run_goes_through_with_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path))
    stated = lora_recipe(targets=[]).model_dump(mode="json")
    toy = {"kind": "toy", "limit": 30}
    stated["problems"]["validation"] = {**toy, "split": "validation"}
    stated["problems"]["test"] = [{"name": "toy", "source": {**toy, "split": "test"}}]
    stated["training"]["learning_rate"] = 3e-3
    stated["evaluation"] = {
        "engine": "transformers",
        "grader": "exact_match",
        "samples_per_question": 2,
        "max_completion_tokens": 8,
        "max_context_tokens": 64,
        "observed_steps": [2],
    }
    summary = relex.run(stated)

    labels = [result.candidate.key for result in summary.decision.results]
    assert labels == ["base", "observed-2", "observed-5", "line-10"]
    place = tmp_path / "s3" / "relex" / "runs" / summary.run_id
    published, base = Checkpoint(place / "model"), Checkpoint(TOY_BASE)
    window = open_window(str(place / "window"), base=base)
    assert window.steps == (1, 2, 3, 4, 5)
    # Merged: the base's tensors, and no other.
    assert published.tensors == base.tensors
    chosen = summary.decision.chosen
    if chosen.is_observed:
        for name, info in base.tensors.items():
            expected = window.read(chosen.step, name).to(info.dtype)
            assert torch.equal(published.read(name), expected)
