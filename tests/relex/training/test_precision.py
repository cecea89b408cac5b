"""A policy answers in training as its weights do when they are measured and published: in the dtype
of the base."""

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from relex.checkpoints import TOY_BASE
from tests.relex.training.test_process import job_in, small_recipe

# TRL is imported by processes that train, and by no others. Half the spacing of bfloat16 is at
# least 2^-9 of a weight.
PROGRAM = """
import sys
from pathlib import Path
import torch
from relex.problems import load_problems
from relex.rewards import build_rewards
from relex.training.grpo import build_arguments, build_trainer, load_policy
from relex.training.job import TrainingJob
from relex.training.judge import computed_terms

job = TrainingJob.model_validate_json(Path(sys.argv[1]).read_text())
problems = load_problems(job.recipe.problems.train)[:8]
rewards = build_rewards(computed_terms(job.recipe), 60.0)
trainer = build_trainer(job, build_arguments(job), load_policy(job), rewards, problems)
policy = trainer.accelerator.unwrap_model(trainer.accelerator.prepare_model(trainer.model)).eval()
assert {weight.dtype for weight in policy.parameters()} == {torch.float32}
ids = torch.arange(3, 15).reshape(2, 6)
with torch.no_grad():
    before = policy(ids).logits
    for layer in policy.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not policy.get_output_embeddings():
            layer.weight.mul_(1 + 2**-11)
    after = policy(ids).logits
print("same" if torch.equal(before, after) else "other")
"""


@pytest.mark.parametrize(("dtype", "answers"), [("bfloat16", "same"), ("float32", "other")])
def test_what_rounding_takes_is_not_seen_by_the_rollouts(
    tmp_path: Path, dtype: str, answers: str
) -> None:
    base = str(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(TOY_BASE, dtype=dtype).save_pretrained(base)
    AutoTokenizer.from_pretrained(TOY_BASE).save_pretrained(base)
    job = job_in(tmp_path, small_recipe()).model_copy(update={"base": base})
    (tmp_path / "job.json").write_text(job.model_dump_json())
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "job.json")]
    ended = subprocess.run(command, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split()[-1] == answers
