"""The longest prompt of a training."""

from pathlib import Path

from transformers import AutoTokenizer

from relex.checkpoints import TOY_BASE
from relex.config import load_recipe
from relex.memory import longest_prompt
from relex.problems import load_problems, render_prompt

RECIPES = Path(__file__).parents[3] / "deployments" / "recipes"


def test_it_is_as_long_as_the_longest_of_all_that_are_rendered():
    recipe = load_recipe(RECIPES / "toy.yaml")
    problems = load_problems(recipe.problems.train)
    tokenizer = AutoTokenizer.from_pretrained(TOY_BASE)
    lengths = [
        len(tokenizer(render_prompt(problem.question, recipe.problems.prompt, None))["input_ids"])
        for problem in problems
    ]
    assert longest_prompt(recipe, TOY_BASE, problems) == max(lengths) > min(lengths)
