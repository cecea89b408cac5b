"""What the page about data sets shows is valid."""

import re
from pathlib import Path

import pytest
import yaml

from relex.config import ProblemSource

PAGE = (Path(__file__).parents[3] / "docs/data.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) == PAGE.count("```yaml") == 3


@pytest.mark.parametrize("block", BLOCKS)
def test_every_source_of_the_page_is_valid(block: str) -> None:
    for source in yaml.safe_load(block).values():
        ProblemSource.model_validate(source)
