"""How a candidate answers, whether or not it is right."""

from relex.strict import Strict


class Habits(Strict):
    """Shares and means over all answers of a candidate."""

    truncated_fraction: float
    """Share of answers that were cut at the token limit."""

    repeating_fraction: float
    """Share of answers that end in a loop."""

    correct_tokens: float | None
    """Tokens per correct answer; None where none is correct."""

    format_value: float | None
    """Mean of the recipe's format rewards; None where it has none."""
