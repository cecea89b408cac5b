"""From a problem source to its problems, none of which may stand in two sets."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from relex.config import ProblemSource, named_benchmark
from relex.config.problems import QUESTION_ID
from relex.doors import SOURCE
from relex.errors import ProblemError
from relex.problems.columns import Row
from relex.problems.problem import Problem
from relex.problems.rows import problems_in
from relex.visible import one_line

MESSAGE_CHARACTERS = 200
NUM_EXAMPLES = 3
EXAMPLE_CHARACTERS = 80


def load_problems(
    source: ProblemSource, say: Callable[[str], object] = lambda _: None
) -> list[Problem]:
    """The problems of a source after `without`, shuffle, `skip` and `limit`; always the same list.

    `say` is told how many rows repeat a question or were left out, where any do.
    Raises ProblemError for whatever cannot be read or used, and when nothing is left.
    """
    found = problems_in(_rows(source), source)
    if found.note:
        say(f"{source.label}: {found.note}")
    problems = _in_order(found.problems, source)
    end = source.skip + source.limit if source.limit else None
    kept = problems[source.skip : end]
    if not kept:
        raise ProblemError(
            f"{source.label}: no problems are left of {len(problems)} "
            f"after skip: {source.skip}; give a source with more or a smaller skip"
        )
    return kept


def _in_order(problems: list[Problem], source: ProblemSource) -> list[Problem]:
    if source.kind == "toy":
        # Its seed decides which questions a split has, and shuffles them there.
        return problems
    single = {name for name in source.without if QUESTION_ID.fullmatch(name)}
    left_out = {
        problem.content_digest
        for name in source.without
        if name not in single
        for problem in load_problems(ProblemSource(**named_benchmark(name).source))
    }
    problems = [
        problem
        for problem in problems
        if problem.id not in single and problem.content_digest not in left_out
    ]
    random.Random(source.shuffle_seed).shuffle(problems)
    return problems


def _rows(source: ProblemSource) -> Iterator[Row]:
    """What the source gives, with the places of the rows where it does not say them."""
    give = SOURCE.load(source.kind)
    try:
        for number, row in enumerate(give(source)):
            yield row if isinstance(row, Row) else _checked(number, source.kind, row)
    except ProblemError:
        raise
    except (Exception, SystemExit) as error:
        raise ProblemError(
            f"question source {source.kind}: raised {type(error).__name__}: "
            f"{one_line(str(error), MESSAGE_CHARACTERS)}; it gives rows, each a mapping of columns"
        ) from error


def _checked(number: int, kind: str, columns: Any) -> Row:
    where = f"{kind}, row {number}"
    if not isinstance(columns, Mapping):
        raise ProblemError(
            f"{where}: is {type(columns).__name__}, not a mapping; give a row its columns, as in "
            '{"question": ..., "answer": ...}'
        )
    return Row(number, where, columns)


def check_disjoint(sets: Mapping[str, Sequence[Problem]]) -> None:
    """Compare every two sets by the content of their questions (`comparable_text`).

    Raises ProblemError with every two sets that overlap, how much, and up to 3 examples of each.
    """
    overlaps = [
        _overlap(first, second, shared)
        for first, second in combinations(sets, 2)
        if (shared := _shared(sets[first], sets[second]))
    ]
    if overlaps:
        raise ProblemError(
            f"problems: {'; '.join(overlaps)}; choose other splits, use skip and limit with the "
            "same shuffle_seed, or leave the questions of a named benchmark out with without"
        )


def _shared(first: Sequence[Problem], second: Sequence[Problem]) -> list[Problem]:
    digests = {problem.content_digest for problem in first}
    return [problem for problem in second if problem.content_digest in digests]


def _overlap(first: str, second: str, shared: Sequence[Problem]) -> str:
    examples = ", ".join(
        repr(one_line(problem.question, EXAMPLE_CHARACTERS)) for problem in shared[:NUM_EXAMPLES]
    )
    return f"{first} and {second} share {len(shared)} question(s), for example {examples}"
