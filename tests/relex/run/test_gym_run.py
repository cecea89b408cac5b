"""The recipe on a task of reasoning-gym: trained on partial scores, chosen by whole ones."""

from pathlib import Path

import pytest
from safetensors import safe_open

import relex
from relex.card import CARD

pytest.importorskip("reasoning_gym")
RECIPE = Path(__file__).parents[3] / "deployments/recipes/toy-reasoning-gym.yaml"


@pytest.mark.slow
def test_a_task_trains_extrapolates_chooses_and_is_published_with_its_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path))
    summary = relex.run(RECIPE)
    results = summary.decision.results
    assert [result.candidate.key for result in results][-3:] == ["line-12", "line-16", "line-24"]
    # Right answers among rambling are a part to training, and wrong to the choice.
    last = summary.training[-1].metrics
    assert last["reward_mean"] > last["accuracy"] > 0
    assert summary.decision.grader.startswith("reasoning_gym/1+reasoning-gym-")
    model = tmp_path / "s3/relex/runs" / summary.run_id / "model"
    card = (model / CARD).read_text()
    chosen = summary.decision.chosen
    assert f"# {summary.run_id}: {chosen.key}" in card
    assert f"| sums, 100 | {chosen.key} | " in card
    assert "100 questions of reasoning-gym's basic_arithmetic, digest " in card
    assert "GRPO, 8 steps at a learning rate of 1e-4, reward 1 x reasoning_gym" in card
    with safe_open(model / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "relex.base": "toy",
            "relex.candidate": chosen.key,
            "relex.run": summary.run_id,
            "relex.recipe": summary.recipe_digest,
        }
