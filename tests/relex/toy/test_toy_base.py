"""The shipped base policy: right when greedy, right half of the time when sampled."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.digests import sha256_file
from relex.toy.problems import addition_pairs, question

NUM_SAMPLES = 4
SAMPLED_ACCURACY = 0.506
MODEL_SHA256 = "1798f6d3b20ce2b971b914822cd19563cb3dfc848f6b1c2842f3632039b26812"


def accuracy(folder: Path, sampled: bool) -> float:
    """Share of right answers to all 961 questions."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    pairs = [p for split in ("train", "validation", "test") for p in addition_pairs(split, 0)]
    pairs *= NUM_SAMPLES if sampled else 1
    inputs = tokenizer([question(a, b) for a, b in pairs], return_tensors="pt", padding=True)
    torch.manual_seed(0)
    settings = {"do_sample": True, "top_k": 0} if sampled else {"do_sample": False}
    ids = model.generate(**inputs, max_new_tokens=8, **settings)
    width = inputs["input_ids"].shape[1]
    answers = tokenizer.batch_decode(ids[:, width:], skip_special_tokens=True)
    right = [answer == str(a + b) for answer, (a, b) in zip(answers, pairs, strict=True)]
    return sum(right) / len(right)


def test_the_shipped_base_is_a_small_bfloat16_checkpoint():
    checkpoint = Checkpoint(TOY_BASE)
    assert {info.dtype for info in checkpoint.tensors.values()} == {torch.bfloat16}
    assert sum(info.num_elements for info in checkpoint.tensors.values()) == 790_528


def test_the_shipped_base_is_the_one_whose_figures_are_in_the_readme():
    assert sha256_file(TOY_BASE / "model.safetensors") == MODEL_SHA256


def test_the_shipped_base_is_right_when_greedy():
    assert accuracy(TOY_BASE, sampled=False) == 1.0


def test_the_shipped_base_is_right_half_of_the_time_when_sampled():
    assert accuracy(TOY_BASE, sampled=True) == pytest.approx(SAMPLED_ACCURACY, abs=0.025)


@pytest.mark.slow
def test_the_script_still_reaches_the_documented_accuracy(tmp_path):
    command = [sys.executable, "-m", "tests.bench.toy_base", str(tmp_path / "base"), "--seed", "1"]
    subprocess.run(command, check=True)
    assert accuracy(tmp_path / "base", sampled=False) > 0.99
    assert accuracy(tmp_path / "base", sampled=True) == pytest.approx(SAMPLED_ACCURACY, abs=0.04)
