"""What the page about data sets shows is valid."""

import re
from pathlib import Path

import pytest
import yaml

from relex.config import ProblemSource, check_recipe

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/data.md").read_text()
TOY = yaml.safe_load((ROOT / "deployments/recipes/toy.yaml").read_text())
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) == PAGE.count("```yaml") == 5


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_page_shows_is_a_part_of_a_valid_recipe(block: str) -> None:
    stated = yaml.safe_load(block)
    if "rewards" in stated:
        check_recipe(TOY | stated, "page")
    else:
        for source in stated.values():
            ProblemSource.model_validate(source)
