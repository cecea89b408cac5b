"""A published checkpoint answers questions, as the base of an engine of its own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from relex.candidates import BASE, WeightSource
from relex.config import RunRecipe
from relex.evaluation import ANSWERS_FILE, Answer, Dtype, EvaluationSession, Score, read_answers
from relex.problems import Problem

Scored = tuple[Score, list[Answer]]


def measure_checkpoint(
    checkpoint: Path,
    recipe: RunRecipe,
    benchmarks: Mapping[str, Sequence[Problem]],
    work: Path,
    on_log: Callable[[str], None],
    dtype: Dtype,
) -> dict[str, Scored]:
    """Score and answers on each benchmark, asked and graded as `recipe` says, drawn with its seed,
    computed in `dtype`.

    Raises what EvaluationSession does.
    """
    source = WeightSource(base=str(checkpoint))
    with EvaluationSession(recipe, source, benchmarks, work, _ignore, on_log, dtype) as session:
        return {
            name: (
                session.measure(BASE, name),
                read_answers(work / BASE.key / name / ANSWERS_FILE),
            )
            for name in benchmarks
        }


def _ignore(*_: object) -> None:
    """Nobody watches the single answers."""
