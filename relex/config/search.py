"""How `targets: auto` looks for the best target."""

from pydantic import Field

from relex.config.strict import Section


class SearchConfig(Section):
    """How far the search looks, and what it may cost."""

    farthest: float = Field(default=10.0, gt=1, le=1000)
    """Farthest target to which all tensors go, in lengths of the window."""

    farthest_of_parts: float = Field(default=64.0, gt=1, le=10_000)
    """The same for targets to which a part of the tensors goes."""

    budget_fraction: float = Field(default=0.35, gt=0, le=1)
    """Largest share of the tokens of the full grid: the line at every target that all tensors
    could reach, on all questions. Only the best rival answers all questions even when answers were
    longer than expected and this is used up."""
