r"""The benchmarks that a recipe may name instead of describing them.

Each is measured as the paper measures it (arXiv 2605.21468, its README): MATH greedily with one
answer, the others with 8 answers at temperature 0.7 and nucleus 0.8. GSM8K and Minerva are not in
the paper; its peers report them beside MATH. A recipe may override every column.

A revision that is a commit was found in public code that pins it. Where none was found it is
`main`, and the note says so: look at what was loaded before you quote a number.
"""

from typing import Any, Literal

from pydantic import Field

from relex.config.strict import HOTTEST, MOST_SAMPLES, Section

AnswerPart = Literal["all", "boxed", "after_hashes"]
"""What of a column is the answer."""

BOXED_TEMPLATE = (
    "{question}\nPlease reason step by step, and put your final answer within \\boxed{}."
)
UNPINNED = "not pinned: no commit was found, and main may change"


class NamedBenchmark(Section):
    """One row of the table."""

    name: str
    """What a recipe writes."""

    domain: Literal["in", "out"]
    """`in`: drawn as the MATH training questions are; `out`: from elsewhere."""

    num_questions: int = Field(ge=1, le=1_000_000)
    """Questions of the published set, to compare with what was loaded."""

    path: str
    """Dataset on the Hub."""

    config: str = ""
    """Its configuration, where it has several."""

    split: str = "test"
    """Its split."""

    revision: str = "main"
    """Its commit."""

    question_column: str = "problem"
    """Column of the question."""

    answer_column: str = "answer"
    """Column of the gold answer."""

    answer_part: AnswerPart = "all"
    """What of that column is the answer."""

    group_column: str = ""
    """Column with the difficulty or the subject of a question."""

    template: str = BOXED_TEMPLATE
    """Prompt, where the recipe has none."""

    samples_per_question: int = Field(default=8, ge=1, le=MOST_SAMPLES)
    """Answers drawn for every question."""

    temperature: float = Field(default=0.7, ge=0, le=HOTTEST)
    """Sampling temperature; 0 is greedy."""

    top_p: float = Field(default=0.8, gt=0, le=1)
    """Nucleus of the sampling."""

    grader: str = "math_equality"
    """The reward whose value 1.0 means correct."""

    note: str = ""
    """What one should know of it."""

    @property
    def source(self) -> dict[str, Any]:
        """The fields of a problem source."""
        return {
            "kind": "hub",
            "path": self.path,
            "config": self.config,
            "split": self.split,
            "revision": self.revision,
            "question_column": self.question_column,
            "answer_column": self.answer_column,
            "answer_part": self.answer_part,
            "group_column": self.group_column,
        }

    @property
    def manner(self) -> dict[str, Any]:
        """How it is sampled and graded."""
        return {
            "samples_per_question": self.samples_per_question,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "grader": self.grader,
        }


GREEDY: dict[str, Any] = {"samples_per_question": 1, "temperature": 0.0, "top_p": 1.0}
MATH: dict[str, Any] = {
    "domain": "in",
    "path": "DigitalLearningGmbH/MATH-lighteval",
    "revision": "0530c78699ea5e8eb5530600900e1f328b48acad",
    "answer_column": "solution",
    "answer_part": "boxed",
    "group_column": "level",
}

BENCHMARKS = (
    NamedBenchmark(
        name="math_train",
        num_questions=7500,
        split="train",
        note="to train and validate on",
        **MATH,
        **GREEDY,
    ),
    NamedBenchmark(name="math_test", num_questions=5000, note="holds MATH-500", **MATH, **GREEDY),
    NamedBenchmark(
        name="math_500",
        domain="in",
        num_questions=500,
        path="HuggingFaceH4/MATH-500",
        group_column="level",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        **GREEDY,
    ),
    NamedBenchmark(
        name="gsm8k",
        domain="out",
        num_questions=1319,
        path="openai/gsm8k",
        config="main",
        revision="740312add88f781978c0658806c59bc2815b9866",
        question_column="question",
        answer_part="after_hashes",
        **GREEDY,
    ),
    NamedBenchmark(
        name="aime_2025",
        domain="out",
        num_questions=30,
        path="math-ai/aime25",
        revision="563bb8404243c5f09de6ec262f2db674fe5bce9b",
    ),
    NamedBenchmark(
        name="aime_2026",
        domain="out",
        num_questions=30,
        path="MathArena/aime_2026",
        split="train",
        revision="d2de22f3c656b4f56cf8981212186377d1e23bc3",
    ),
    NamedBenchmark(
        name="hmmt_feb_2025",
        domain="out",
        num_questions=30,
        path="MathArena/hmmt_feb_2025",
        split="train",
        revision="6fdc4277120810ff75aa22d2d5489b91f7a262a1",
    ),
    NamedBenchmark(
        name="amc_23",
        domain="out",
        num_questions=40,
        path="math-ai/amc23",
        revision="80815d37005feb82cd7f8fbc6901d5d3eff43057",
        question_column="question",
    ),
    NamedBenchmark(
        name="olympiad_bench",
        domain="out",
        num_questions=675,
        path="zwhe99/simplerl-OlympiadBench",
        question_column="question",
        answer_column="final_answer",
        note=UNPINNED,
    ),
    NamedBenchmark(
        name="minerva",
        domain="out",
        num_questions=272,
        path="math-ai/minervamath",
        revision="ee46ddc498933b1977577953250ca5c66be64f96",
        question_column="question",
    ),
)


def named_benchmark(name: str, field: str = "name") -> NamedBenchmark:
    """The row of that name. Raises ValueError, which becomes the recipe's error at `field`."""
    rows = {row.name: row for row in BENCHMARKS}
    if name not in rows:
        raise ValueError(f"{field}: no benchmark is named {name!r}; there are {', '.join(rows)}")
    return rows[name]
