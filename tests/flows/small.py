"""One small recipe for all tests that run the whole pipeline: the toy with less of everything."""

from pathlib import Path
from typing import Any

import yaml

TOY = Path(__file__).parents[2] / "deployments" / "recipes" / "toy.yaml"


def small_recipe(name: str) -> dict[str, Any]:
    """The content of the recipe file."""
    recipe: dict[str, Any] = yaml.safe_load(TOY.read_text())
    recipe["name"] = name
    del recipe["training"]["snapshot_dtype"]  # the default, bfloat16, in which little moves
    recipe["training"] |= {
        "steps": 6,
        "checkpoint_every_steps": 2,
        "prompts_per_step": 8,
        "completions_per_prompt": 4,
        "completions_per_device_batch": 32,
    }
    recipe["extrapolation"]["targets"] = [9, 12]
    recipe["evaluation"] |= {
        "engine": "transformers",
        "samples_per_question": 2,
        "observed_steps": [3],
        "denoised_steps": [6],
    }
    recipe["problems"]["validation"]["limit"] = 50
    recipe["problems"]["test"][0]["source"]["limit"] = 50
    return recipe
