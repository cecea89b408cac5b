"""Rollouts: which engine, what it is told, and that vLLM answers as what was trained."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from relex.config import Recipe, RolloutsConfig
from relex.config.rollouts import ImportanceSampling
from relex.training import RolloutsChosen, StepTrained, TrainingWarning
from relex.training.rollouts import is_beyond, recorded_arguments, trl_arguments
from tests.relex.training.test_process import job_in, run, small_recipe, steps_of, stored_files

SERVER = {"engine": "vllm_server", "server_url": "http://10.0.0.7:8000"}


def recipe(rollouts: dict[str, Any], **training: Any) -> Recipe:
    stated = small_recipe().training.model_dump(mode="json") | training
    return small_recipe(training=stated | {"rollouts": rollouts})


def test_transformers_is_told_nothing_of_vllm() -> None:
    assert trl_arguments(recipe({"engine": "transformers"})) == {"use_vllm": False}


def test_vllm_is_told_all_that_trl_leaves_open() -> None:
    stated = {"engine": "vllm", "sleep": True, "memory_fraction": 0.4}
    found = trl_arguments(recipe(stated))
    assert found == {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_server_base_url": None,
        "vllm_gpu_memory_utilization": 0.4,
        "vllm_enable_sleep_mode": True,
        "vllm_tensor_parallel_size": 1,
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "sequence_mask",
        "vllm_importance_sampling_clip_max": 3.0,
        "vllm_importance_sampling_clip_min": None,
    }


def test_a_server_is_asked_at_its_address() -> None:
    found = trl_arguments(recipe(SERVER))
    assert found["vllm_mode"] == "server"
    assert found["vllm_server_base_url"] == "http://10.0.0.7:8000"


def test_the_correction_can_be_switched_off_and_bounded_from_below() -> None:
    off = trl_arguments(recipe({"engine": "vllm", "importance_sampling_mode": "off"}))
    assert off["vllm_importance_sampling_correction"] is False
    bounded = recipe(
        {
            "engine": "vllm",
            "importance_sampling_mode": "token_truncate",
            "importance_sampling_clip_min": 0.5,
        }
    )
    assert recorded_arguments(bounded) == {
        "importance_sampling_correction": True,
        "importance_sampling_mode": "token_truncate",
        "importance_sampling_clip_max": 3.0,
        "importance_sampling_clip_min": 0.5,
    }


@pytest.mark.parametrize(
    ("mode", "least", "after", "expected"),
    [
        # What TRL's modes leave of the ratios 0.2, 1.0, 2.9 and 3.1.
        ("sequence_mask", 0.0, [0.2, 1.0, 2.9, 0.0], [False, False, False, True]),
        ("token_mask", 0.5, [0.0, 1.0, 2.9, 0.0], [True, False, False, True]),
        ("sequence_truncate", 0.0, [0.2, 1.0, 2.9, 3.0], [False, False, False, True]),
        ("token_truncate", 0.5, [0.5, 1.0, 2.9, 3.0], [True, False, False, True]),
    ],
)
def test_ratios_beyond_the_clips_are_counted(
    mode: ImportanceSampling, least: float, after: list[float], expected: list[bool]
) -> None:
    config = RolloutsConfig(importance_sampling_mode=mode, importance_sampling_clip_min=least)
    assert is_beyond(torch.tensor([after]), config).tolist() == [expected]


def test_a_record_says_all_of_it_in_a_line() -> None:
    chosen = RolloutsChosen(engine="vllm 0.31.0", arguments={"seed": 3, "max_num_seqs": 64})
    assert chosen.words == "rollouts by vllm 0.31.0: seed 3, max_num_seqs 64"
    assert RolloutsChosen(engine="transformers", arguments={}).words == "rollouts by transformers"


COMPARED = """
import json, sys
if "relex.training.worker" in " ".join(sys.orig_argv):
    import torch
    from vllm import SamplingParams
    from relex.checkpoints import TOY_BASE, Checkpoint
    from relex.training.events import TrainingWarning, send
    from relex.training.grpo import PolicyTrainer

    resume = PolicyTrainer.resume

    def answers(trainer, prompts):
        greedy = SamplingParams(temperature=0, max_tokens=8)
        asked = [{"prompt_token_ids": ids} for ids in prompts]
        found = trainer.vllm_generation.llm.generate(asked, greedy, use_tqdm=False)
        return [list(one.outputs[0].token_ids) for one in found]

    @torch.no_grad()
    def by_transformers(trainer, ids):
        made = trainer.model.generate(
            torch.tensor([ids]), max_new_tokens=8, do_sample=False, use_cache=True
        )[0, len(ids):].tolist()
        eos = trainer.eos_token_ids[0]
        return made[: made.index(eos) + 1] if eos in made else made

    def compare(trainer, checkpoint):
        texts = trainer.train_dataset["prompt"][:40]
        prompts = trainer._tokenize_prompts(texts)[0]
        trainer.vllm_generation.sync_weights()
        before = answers(trainer, prompts)
        resume(trainer, checkpoint)
        trainer.vllm_generation.sync_weights()
        base = Checkpoint(TOY_BASE)
        frozen = [
            torch.equal(it.detach().reshape(-1), base.read(name.split("base_model.model.")[1]
                .replace(".base_layer", "")).to(it.dtype))
            for name, it in trainer.model.named_parameters() if not it.requires_grad
        ]
        told = {
            "before": before,
            "after": answers(trainer, prompts),
            "expected": [by_transformers(trainer, ids) for ids in prompts],
            "frozen": all(frozen),
        }
        send(TrainingWarning(message=json.dumps(told)))

    PolicyTrainer.resume = compare
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8}], ids=["full", "lora"])
def test_vllm_answers_as_the_weights_that_were_trained(
    lora: dict[str, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(COMPARED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    rate = 2e-3 if lora is None else 3e-2
    stated = {"steps": 2, "learning_rate": rate, "lora": lora}
    job = job_in(tmp_path, recipe({"engine": "vllm", "max_num_seqs": 48}, **stated))
    events = run(job)

    assert steps_of(events) == [1, 2]
    stored_files(job)
    (chosen,) = (event for event in events if isinstance(event, RolloutsChosen))
    assert chosen.engine.startswith("vllm 0.")
    assert chosen.arguments["max_num_seqs"] == 48
    # Five digits and signs of the longest question, its mark, and 8 tokens of the answer.
    assert chosen.arguments["max_model_len"] < 40
    for event in (event for event in events if isinstance(event, StepTrained)):
        # What vLLM sampled is as probable as in the trainer: it had the weights of the step.
        assert event.importance_ratio == pytest.approx(1, abs=1e-3)
        assert event.importance_beyond_fraction == 0
    messages = [event.message for event in events if isinstance(event, TrainingWarning)]
    told = next(json.loads(message) for message in messages if message.startswith('{"before"'))
    assert told["before"] != told["after"]
    assert told["after"] == told["expected"]
    assert told["frozen"]
