"""The longest prompt of a training."""

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer

from relex.config import Recipe
from relex.problems import Problem, render_prompt

NUM_LONGEST = 50
"""Of the questions with most characters, one has most tokens."""


def longest_prompt(recipe: Recipe, base_folder: Path, problems: Sequence[Problem]) -> int:
    """Tokens of the longest prompt that `problems` make."""
    tokenizer = AutoTokenizer.from_pretrained(
        base_folder, trust_remote_code=recipe.base.trust_remote_code
    )
    questions = sorted((problem.question for problem in problems), key=len)[-NUM_LONGEST:]
    prompts = [render_prompt(text, recipe.problems.prompt, tokenizer) for text in questions]
    return max(len(tokenizer(prompt)["input_ids"]) for prompt in prompts)
