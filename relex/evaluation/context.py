"""Whether the base can read as many tokens as the recipe asks for."""

import json
from pathlib import Path

from relex.errors import RecipeError


def check_context(base: Path, max_context_tokens: int) -> None:
    """Raise RecipeError when the context is longer than the base's positions.

    A base that stretches its positions (a rope type other than the default) knows better; the
    engine then decides.
    """
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    num_positions = config.get("max_position_embeddings")
    if num_positions is None or rope.get("rope_type", "default") != "default":
        return
    if max_context_tokens > num_positions:
        raise RecipeError(
            f"evaluation.max_context_tokens: {max_context_tokens} is more than the base can read "
            f"({num_positions} positions, {base}/config.json); lower it"
        )
