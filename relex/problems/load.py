"""From a problem source to its problems."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from relex.config import ProblemSource, named_benchmark
from relex.doors import SOURCE
from relex.errors import ProblemError
from relex.problems.problem import Problem
from relex.problems.rows import Row, problems_in
from relex.visible import one_line

MESSAGE_CHARACTERS = 200


def load_problems(source: ProblemSource) -> list[Problem]:
    """The problems of a source after `without`, shuffle, `skip` and `limit`; always the same list.

    Raises ProblemError for whatever cannot be read or used, and when nothing is left.
    """
    problems = _in_order(problems_in(_rows(source), source), source)
    end = source.skip + source.limit if source.limit else None
    kept = problems[source.skip : end]
    if not kept:
        raise ProblemError(
            f"{source.path or source.kind}: no problems are left of {len(problems)} "
            f"after skip: {source.skip}; give a source with more or a smaller skip"
        )
    return kept


def _in_order(problems: list[Problem], source: ProblemSource) -> list[Problem]:
    if source.kind == "toy":
        # Its seed decides which questions a split has, and shuffles them there.
        return problems
    left_out = {
        problem.content_digest
        for name in source.without
        for problem in load_problems(ProblemSource(**named_benchmark(name).source))
    }
    problems = [problem for problem in problems if problem.content_digest not in left_out]
    random.Random(source.shuffle_seed).shuffle(problems)
    return problems


def _rows(source: ProblemSource) -> Iterator[Row]:
    """What the source gives, with the places of the rows where it does not say them."""
    give = SOURCE.load(source.kind)
    try:
        for number, row in enumerate(give(source)):
            yield row if isinstance(row, Row) else _checked(f"{source.kind}, row {number}", row)
    except ProblemError:
        raise
    except (Exception, SystemExit) as error:
        raise ProblemError(
            f"question source {source.kind}: raised {type(error).__name__}: "
            f"{one_line(str(error), MESSAGE_CHARACTERS)}; it gives rows, each a mapping of columns"
        ) from error


def _checked(where: str, columns: Any) -> Row:
    if not isinstance(columns, Mapping):
        raise ProblemError(
            f"{where}: is {type(columns).__name__}, not a mapping; give a row its columns, as in "
            '{"question": ..., "answer": ...}'
        )
    return Row(where, columns)
