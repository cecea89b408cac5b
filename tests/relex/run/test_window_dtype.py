"""A window whose snapshots cannot hold the base's weights is taken, and its reader is warned."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from relex.checkpoints import TOY_BASE
from relex.config import WindowRecipe, check_run_recipe
from relex.home import Home
from relex.run import preflight
from relex.run.places import Run
from relex.storage import S3Connection
from tests.tiny_models import dense


def recipe_of(folder: Path) -> WindowRecipe:
    toy = {"kind": "toy"}
    recipe = check_run_recipe(
        {
            "name": "mine",
            "base": {"path": str(folder / "base")},
            "window": {"uri": str(folder / "window")},
            "problems": {
                "validation": {**toy, "split": "validation"},
                "test": [{"name": "toy", "source": {**toy, "split": "test"}}],
            },
            "extrapolation": {"targets": [4]},
            "evaluation": {"grader": "exact_match"},
        },
        "test",
    )
    assert isinstance(recipe, WindowRecipe)
    return recipe


@pytest.mark.parametrize(
    ("base_dtype", "kept", "warned"),
    [
        (torch.float16, torch.bfloat16, True),
        (torch.float32, torch.bfloat16, True),
        (torch.bfloat16, torch.bfloat16, False),
        (torch.float16, torch.float32, False),
    ],
)
def test_snapshots_narrower_than_the_base_are_told(
    tmp_path: Path, base_dtype: torch.dtype, kept: torch.dtype, warned: bool
) -> None:
    dense(tied=True).to(base_dtype).save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(TOY_BASE).save_pretrained(tmp_path / "base")
    model = dense(tied=True).to(kept)
    for step in (1, 2, 3):
        model.save_pretrained(tmp_path / "window" / f"checkpoint-{step}")
    lines: list[Any] = []
    recipe = recipe_of(tmp_path)
    run = Run(recipe, Home(tmp_path / "home"), str(tmp_path / "s3"), S3Connection(), [lines.append])
    preflight._check_window(run, recipe)
    warnings = [line.text for line in lines if getattr(line, "level", "") == "warning"]
    assert any("cannot hold the base's" in text for text in warnings) == warned
