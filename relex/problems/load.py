"""From a problem source to its problems."""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from relex.config import ProblemSource, named_benchmark
from relex.errors import ProblemError
from relex.problems.hub import hub_rows
from relex.problems.jsonl import jsonl_rows
from relex.problems.parquet import parquet_rows
from relex.problems.problem import Problem
from relex.problems.rows import Row, problems_in
from relex.toy.problems import Split, addition_pairs, question


def load_problems(source: ProblemSource) -> list[Problem]:
    """The problems of a source after `without`, shuffle, `skip` and `limit`; always the same list.

    Raises ProblemError for whatever cannot be read or used, and when nothing is left.
    """
    problems = _toy_problems(source) if source.kind == "toy" else _shuffled_problems(source)
    end = source.skip + source.limit if source.limit else None
    kept = problems[source.skip : end]
    if not kept:
        raise ProblemError(
            f"{source.path or source.kind}: no problems are left of {len(problems)} "
            f"after skip: {source.skip}; give a source with more or a smaller skip"
        )
    return kept


def _toy_problems(source: ProblemSource) -> list[Problem]:
    # The config has checked that the split is one of the toy's.
    pairs = addition_pairs(cast(Split, source.split), source.shuffle_seed)
    return [Problem(question=question(a, b), answer=str(a + b)) for a, b in pairs]


def _shuffled_problems(source: ProblemSource) -> list[Problem]:
    problems = problems_in(_rows(source), source)
    left_out = {
        problem.content_digest
        for name in source.without
        for problem in load_problems(ProblemSource(**named_benchmark(name).source))
    }
    problems = [problem for problem in problems if problem.content_digest not in left_out]
    random.Random(source.shuffle_seed).shuffle(problems)
    return problems


def _rows(source: ProblemSource) -> Iterable[Row]:
    if source.kind == "jsonl":
        return jsonl_rows(Path(source.path))
    if source.kind == "parquet":
        return parquet_rows(Path(source.path))
    return hub_rows(source)
