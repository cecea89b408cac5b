"""The search for the best target with few tokens; it knows no engine, only graded answers."""

from relex.search.comparison import Comparison, compare
from relex.search.grid import full_grid
from relex.search.path import SearchPath, Trial
from relex.search.search import SEARCHED, Found, search
from relex.search.trials import Graded, Measure

__all__ = [
    "SEARCHED",
    "Comparison",
    "Found",
    "Graded",
    "Measure",
    "SearchPath",
    "Trial",
    "compare",
    "full_grid",
    "search",
]
