"""The search for the best target with few tokens; it knows no engine, only graded answers."""

from relex.search.grid import full_grid
from relex.search.search import SEARCHED, search
from relex.search.trials import Found, Graded, SearchPath, Trial, compare
