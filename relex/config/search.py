"""How `targets: auto` looks for the best target."""

from pydantic import Field

from relex.config.strict import Section


class SearchConfig(Section):
    """How far the search looks, and what it may cost."""

    farthest: float = Field(default=10.0, gt=1, le=1000)
    """Farthest target, in lengths of the window."""

    budget_fraction: float = Field(default=0.35, gt=0, le=1)
    """Largest share of the tokens of the full grid: every target that the search could reach, on
    all questions. Only the best rival answers all questions even when answers were longer than
    expected and this is used up."""
