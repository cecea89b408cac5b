"""What a completion is paid for."""

from pydantic import Field

from relex.config.strict import Strict


class RewardTerm(Strict):
    """One term of the weighted sum."""

    reward: str = Field(min_length=1)
    """A built-in (`exact_match`, `math_equality`, `published_equality`, `format`) or your own as
    `module:function`."""

    weight: float = 1.0
    """Factor of this term in the sum."""

    params: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Keyword arguments for the reward."""
