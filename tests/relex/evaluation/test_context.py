import json
from pathlib import Path

import pytest

from relex.checkpoints import TOY_BASE
from relex.errors import RecipeError
from relex.evaluation.context import check_context


def test_a_context_as_long_as_the_positions_is_fine() -> None:
    check_context(TOY_BASE, 64)


def test_a_longer_context_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"max_context_tokens: 65 is more than .* \(64 positions"):
        check_context(TOY_BASE, 65)


def test_stretched_positions_are_left_to_the_engine(tmp_path: Path) -> None:
    config = {"max_position_embeddings": 64, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_context(tmp_path, 256)
