r"""The benchmarks that a recipe may name instead of describing them: benchmarks.yaml, row by row.

A recipe may override every value.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from relex.config.strict import MOST_ENTRIES, Section, Setting

BOXED_TEMPLATE = (
    "{question}\nPlease reason step by step, and put your final answer within \\boxed{}."
)


class NamedBenchmark(Section):
    """One row of the table."""

    name: str
    """What a recipe writes."""

    domain: Literal["in", "out"]
    """`in`: drawn as the MATH training questions are; `out`: from elsewhere."""

    num_questions: int = Field(ge=1, le=1_000_000)
    """Questions of the published set, to compare with what was loaded."""

    source: dict[str, Setting] = Field(max_length=MOST_ENTRIES)
    """The fields of a problem source, with `path`, `split` and `revision`."""

    manner: dict[str, Setting] = Field(max_length=MOST_ENTRIES)
    """How it is sampled and graded."""

    template: str = BOXED_TEMPLATE
    """Prompt, where the recipe has none."""

    note: str = ""
    """What one should know of it."""


TABLE = yaml.safe_load(Path(__file__).with_name("benchmarks.yaml").read_text())
BENCHMARKS = tuple(
    NamedBenchmark(**row | {"name": name, "source": {"kind": "hub", **row["source"]}})
    for name, row in TABLE.items()
)


def named_benchmark(name: str, field: str = "name") -> NamedBenchmark:
    """The row of that name. Raises ValueError, which becomes the recipe's error at `field`."""
    rows = {row.name: row for row in BENCHMARKS}
    if name not in rows:
        raise ValueError(f"{field}: no benchmark is named {name!r}; there are {', '.join(rows)}")
    return rows[name]
