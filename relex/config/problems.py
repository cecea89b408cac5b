"""Where problems come from and how they become prompts."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from relex.config.benchmarks import NamedBenchmark, named_benchmark
from relex.config.names import KnownTo, one_of
from relex.config.strict import HOTTEST, MOST_ENTRIES, MOST_SAMPLES, Section, Seed, Setting
from relex.doors import SOURCE

MOST_PROBLEMS, MOST_LEFT_OUT = 100_000_000, 10_000
QUESTION_ID = re.compile(r"[0-9a-f]{16}")
SourceName = Annotated[str, KnownTo(SOURCE), one_of(SOURCE.built_in)]
Settings = Annotated[tuple[Setting, ...], Field(max_length=MOST_ENTRIES)]
StopString = Annotated[str, Field(min_length=1)]


class PromptConfig(Section):
    """How a question becomes the text that the policy reads, in training and in evaluation."""

    template: str = "{question}"
    """Text with `{question}` in it."""

    chat: bool = False
    """Wrap the text as a user message in the tokenizer's chat template."""

    system: str = ""
    """System message; only with `chat`."""

    template_arguments: dict[str, Setting] = Field(default={}, max_length=MOST_ENTRIES)
    """What the chat template is given beside the messages, such as `{enable_thinking: false}`; only
    with `chat`. A name that the template never reads is refused."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{question}" not in self.template:
            raise ValueError("template: has no {question} in it; add it where the question belongs")
        for field in ("system", "template_arguments"):
            if getattr(self, field) and not self.chat:
                raise ValueError(f"{field}: is only used with chat: true; set it or remove {field}")
        return self


class ProblemSource(Section):
    """A set of questions with known answers.

    A recipe may write the name of a benchmark in its place, or `{kind: benchmark, name: ...}` with
    other fields beside it; the table's row is put in when the recipe is read.
    """

    kind: SourceName
    """`toy`: additions made from a seed; `jsonl`, `parquet`: a local file; `hub`: a Hugging Face
    dataset; `reasoning_gym`: a task of that package; or a function of your own as
    `module:function`, which gives rows, and is code that the worker runs, where its RELEX_PLUGINS
    allows it."""

    path: str = ""
    """The file, or the dataset's repository on the Hub. Empty for `toy` and `reasoning_gym`; for a
    function of your own what it makes of it."""

    task: str = ""
    """Task of `reasoning_gym`, such as `knights_knaves`."""

    options: dict[str, Setting | Settings] = Field(default={}, max_length=MOST_ENTRIES)
    """How a task makes its questions: `size` (500), `seed` (0), and fields of its configuration,
    such as `n_people: 3`; for a function of your own what it makes of it."""

    config: str = ""
    """Name of the configuration of a Hub dataset that has several."""

    split: str = "train"
    """Split of a Hub dataset; for `toy` one of train, validation, test."""

    revision: str = "main"
    """Branch, tag or commit of a Hub dataset."""

    question_column: str = "question"
    """Column that holds the question, as text or as messages. Dots lead into what a column holds,
    and to places of lists, in all fields that name a column: `prompt.0.content`."""

    answer_column: str = "answer"
    """Column that holds the gold answer, as text, a number, or the assistant's message."""

    answer_part: Literal["all", "boxed", "after_hashes"] = "all"
    """What of that column is the answer: `all`; `boxed`, the last box of a worked solution;
    `after_hashes`, what follows the last `####`, as in GSM8K."""

    group_column: str = ""
    """Column with a difficulty or a subject, by which accuracy is told; empty has none."""

    extra_columns: tuple[str, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Columns that the grader needs beside the answer, such as tests. Rewards and graders get them
    by these names, a mapping for each completion, in `extras`."""

    without: tuple[str, ...] = Field(default=(), max_length=MOST_LEFT_OUT)
    """What is left out before the shuffle: the questions of named benchmarks, and single ones by
    their id of 16 hex digits, as messages and tables of answers have it."""

    skip: int = Field(default=0, ge=0, le=MOST_PROBLEMS)
    """Problems to leave out at the front, after the shuffle."""

    limit: int = Field(default=0, ge=0, le=MOST_PROBLEMS)
    """Problems to keep after `skip`; 0 keeps all."""

    drop_conflicts: bool = False
    """Leave out questions that stand in several rows with different answers; otherwise they are
    refused, with these rows. Rows that repeat question and answer are always read once."""

    shuffle_seed: Seed = 0
    """Seed of the shuffle before `skip` and `limit`, and of the toy's split."""

    @property
    def label(self) -> str:
        """What a message calls it."""
        return self.path or self.task or self.kind

    @property
    def columns(self) -> tuple[str, ...]:
        """All that are named, a group only where there is one."""
        grouped = (self.group_column,) if self.group_column else ()
        return (self.question_column, self.answer_column, *grouped, *self.extra_columns)

    @model_validator(mode="before")
    @classmethod
    def _put_in_row(cls, value: Any) -> Any:
        row = row_of(value)
        if row is None:
            return value
        stated = {} if isinstance(value, str) else value
        return row.source | {key: stated[key] for key in stated.keys() - {"kind", "name"}}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.without:
            if not QUESTION_ID.fullmatch(name):
                named_benchmark(name, "without")
        if self.kind == "toy":
            if self.path or self.without:
                field = "path" if self.path else "without"
                raise ValueError(f"{field}: a toy source is made from a seed; remove {field}")
            if self.group_column or self.extra_columns:
                field = "group_column" if self.group_column else "extra_columns"
                raise ValueError(f"{field}: a toy source has no columns; remove it")
            if self.split not in ("train", "validation", "test"):
                raise ValueError(f"split: toy has train, validation and test, not {self.split!r}")
        elif self.kind == "reasoning_gym":
            if not self.task or self.path:
                raise ValueError("task: needed for kind reasoning_gym, which has no path")
        elif not self.path and self.kind in SOURCE.built_in:
            raise ValueError(f"path: needed for kind {self.kind}")
        if self.kind in SOURCE.built_in.keys() - {"reasoning_gym"} and (self.task or self.options):
            raise ValueError(f"task, options: of kind reasoning_gym, not {self.kind}; remove them")
        return self


class Benchmark(Section):
    """A named problem source to measure on, and how, where that differs from `evaluation`.

    A recipe may write the name of a benchmark of the table in its place. What an entry does not say
    comes from the table when its source is named there, and otherwise from `evaluation`.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=60)
    """Name in tables, files and metrics: lower case, digits and underscores."""

    source: ProblemSource
    """Its problems."""

    prompt: PromptConfig | None = None
    """How its questions become prompts."""

    samples_per_question: int | None = Field(default=None, ge=1, le=MOST_SAMPLES)
    """Answers drawn for every question and candidate."""

    temperature: float | None = Field(default=None, ge=0, le=HOTTEST)
    """Sampling temperature; 0 is greedy."""

    top_p: float | None = Field(default=None, gt=0, le=1)
    """Nucleus of the sampling."""

    grader: str | None = None
    """The reward whose value 1.0 means correct."""

    correct_from: float | None = Field(default=None, gt=0, le=1)
    """Least value of the grader that counts as correct."""

    @model_validator(mode="before")
    @classmethod
    def _put_in_row(cls, value: Any) -> Any:
        stated = {"source": value} if isinstance(value, str) else value
        row = row_of(stated.get("source")) if isinstance(stated, dict) else None
        return stated if row is None else {"name": row.name} | row.manner | stated

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.temperature == 0 and (self.samples_per_question or 1) > 1:
            raise ValueError(
                f"samples_per_question: {self.samples_per_question} greedy answers are the same "
                "answer; set a temperature above 0, or draw one"
            )
        return self


class QuestionsConfig(Section):
    """Choice and report each have questions of their own."""

    train: ProblemSource | None = None
    """Questions that the window was trained on, where they are known: no candidate is measured on
    them."""

    validation: ProblemSource
    """Questions on which candidates are compared and the choice is made."""

    test: tuple[Benchmark, ...] = Field(min_length=1, max_length=MOST_ENTRIES)
    """Questions on which the chosen candidate is measured once. The first one is the headline."""

    guard: tuple[Benchmark, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Secondary questions of the regression guard: what would be chosen, and the last observed
    step, answer them before the choice is final. See `selection.largest_loss`."""

    prompt: PromptConfig = PromptConfig()
    """How a question becomes a prompt. Left out, it is the template of the benchmark that `train`
    or an entry of `test` names, and the bare question for other sources."""

    @model_validator(mode="before")
    @classmethod
    def _put_in_templates(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "prompt" in value:
            return value
        filled = {**_with_template(value, "train")}
        for use in ("test", "guard"):
            if isinstance(value.get(use), list | tuple):
                filled[use] = [_with_template(entry, "source") for entry in value[use]]
        return filled

    @property
    def benchmarks(self) -> tuple[Benchmark, ...]:
        """Those of the test and those of the guard."""
        return (*self.test, *self.guard)

    @property
    def sources(self) -> dict[str, ProblemSource]:
        """All sources by use: train, validation, and each benchmark by its name."""
        trained = {} if self.train is None else {"train": self.train}
        measured = {benchmark.name: benchmark.source for benchmark in self.benchmarks}
        return {**trained, "validation": self.validation, **measured}

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = ["validation", *(benchmark.name for benchmark in self.benchmarks)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"test: benchmark names must differ, found twice: {', '.join(twice)}")
        return self


class ProblemsConfig(QuestionsConfig):
    """Training, choice and report each have questions of their own."""

    train: ProblemSource
    """Questions that the policy is trained on."""


def row_of(source: Any) -> NamedBenchmark | None:
    """The table's row when a source, as the recipe writes it, names a benchmark."""
    if isinstance(source, str):
        return named_benchmark(source)
    if isinstance(source, dict) and source.get("kind") == "benchmark":
        return named_benchmark(str(source.get("name", "")))
    return None


def _with_template(entry: Any, source: str) -> Any:
    """The entry with the prompt of the benchmark that its field `source` names."""
    stated = {source: entry} if isinstance(entry, str) else entry
    try:
        row = row_of(stated.get(source)) if isinstance(stated, dict) else None
    except ValueError:
        # The source itself refuses the name, and its place is told.
        row = None
    return stated if row is None else {"prompt": {"template": row.template}} | stated
