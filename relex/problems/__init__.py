"""Questions with known answers: where they come from and how they become prompts."""

from relex.problems.load import check_disjoint, load_problems
from relex.problems.problem import Extra, Problem, groups_of, problems_digest
from relex.problems.prompts import render_prompt
