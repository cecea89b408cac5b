"""Where problems come from and how they become prompts."""

from typing import Literal, Self

from pydantic import Field, model_validator

from relex.config.strict import Strict


class PromptConfig(Strict):
    """How a question becomes the text that the policy reads, in training and in evaluation."""

    template: str = "{question}"
    """Text with `{question}` in it."""

    chat: bool = False
    """Wrap the text as a user message in the tokenizer's chat template."""

    system: str = ""
    """System message; only with `chat`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{question}" not in self.template:
            raise ValueError("template: has no {question} in it; add it where the question belongs")
        if self.system and not self.chat:
            raise ValueError("system: is only used with chat: true; set it or remove system")
        return self


class ProblemSource(Strict):
    """A set of questions with known answers."""

    kind: Literal["toy", "jsonl", "hub"]
    """`toy`: additions made from a seed; `jsonl`: a local file; `hub`: a Hugging Face dataset."""

    path: str = ""
    """The JSONL file, or the dataset's repository on the Hub. Empty for `toy`."""

    config: str = ""
    """Name of the configuration of a Hub dataset that has several."""

    split: str = "train"
    """Split of a Hub dataset; for `toy` one of train, validation, test."""

    revision: str = "main"
    """Branch, tag or commit of a Hub dataset."""

    question_column: str = "question"
    """Column that holds the question."""

    answer_column: str = "answer"
    """Column that holds the gold answer."""

    skip: int = Field(default=0, ge=0)
    """Problems to leave out at the front, after the shuffle."""

    limit: int = Field(default=0, ge=0)
    """Problems to keep after `skip`; 0 keeps all."""

    shuffle_seed: int = Field(default=0, ge=0)
    """Seed of the shuffle before `skip` and `limit`, and of the toy's split."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "toy":
            if self.path:
                raise ValueError("path: a toy source is made from a seed; remove path")
            if self.split not in ("train", "validation", "test"):
                raise ValueError(f"split: toy has train, validation and test, not {self.split!r}")
        elif not self.path:
            raise ValueError(f"path: needed for kind {self.kind}")
        return self


class Benchmark(Strict):
    """A named problem source to measure on."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """Name in tables, files and metrics: lower case, digits and underscores."""

    source: ProblemSource
    """Its problems."""


class ProblemsConfig(Strict):
    """Training, choice and report each have questions of their own."""

    train: ProblemSource
    """Questions that the policy is trained on."""

    validation: ProblemSource
    """Questions on which candidates are compared and the choice is made."""

    test: tuple[Benchmark, ...] = Field(min_length=1)
    """Questions on which the chosen candidate is measured once. The first one is the headline."""

    prompt: PromptConfig = PromptConfig()
    """How a question becomes a prompt."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = ["validation", *(benchmark.name for benchmark in self.test)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"test: benchmark names must differ, found twice: {', '.join(twice)}")
        return self
