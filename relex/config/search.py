"""How `targets: auto` looks for the best target."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from relex.config.strict import Section

MOST_RUNGS = 10
Fraction = Annotated[float, Field(gt=0, lt=1)]


class SearchConfig(Section):
    """What the search tries, on how many questions, and when it stops.

    "Clearly" worse or better means: by more than `num_errors` standard errors of the difference
    over the questions that both answered.
    """

    farthest: float = Field(default=10.0, gt=1, le=1000)
    """Farthest target, in lengths of the window."""

    question_fractions: tuple[Fraction, ...] = Field(default=(0.0625, 0.25), max_length=MOST_RUNGS)
    """Shares of the validation questions that all candidates and the better ones answer, ascending;
    after them finalists answer all."""

    min_questions: int = Field(default=20, ge=1, le=1_000_000)
    """Fewest questions that anything is judged by. Where samples are few they are as many as make a
    loss of `collapse` clear, but no more than half of all."""

    num_survivors: int = Field(default=6, ge=1, le=1000)
    """Candidates that answer more than the first questions."""

    num_finalists: int = Field(default=3, ge=1, le=1000)
    """Candidates that answer all questions beside the last observed step; the best extrapolated one
    is among them unless it is clearly worse than the last observed step. Tokens are kept for two of
    them, more come when there are tokens left."""

    num_errors: float = Field(default=1.64, gt=0, le=100)
    """Standard errors that make a difference clear; 1.64 is 95 % on one side."""

    collapse: float = Field(default=0.1, gt=0, lt=1)
    """Loss against the last observed step that, when it is clear, ends the way outwards at once."""

    precision: float = Field(default=0.01, gt=0, lt=1)
    """Where the difference of two candidates is known to this, the worse is not followed."""

    budget_fraction: float = Field(default=0.35, gt=0, le=1)
    """Largest share of the tokens of the full grid: every target that the search could reach, on
    all questions. Only the best rival answers all questions even when answers were longer than
    expected and this is used up."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        fractions = self.question_fractions
        if not fractions or list(fractions) != sorted(set(fractions)):
            raise ValueError(f"question_fractions: {fractions} must ascend; list each share once")
        if self.num_finalists > self.num_survivors:
            raise ValueError(
                f"num_finalists: {self.num_finalists} is above num_survivors, {self.num_survivors}"
            )
        return self
