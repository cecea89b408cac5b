"""How the trajectory is fitted, and how a candidate is made from the fit."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from relex.config.search import SearchConfig
from relex.config.strict import MOST_RANK, Section, Step

Convention = Literal["exact", "published"]
"""`exact` fits over the optimizer steps and subtracts in float32. `published` repeats the authors'
code for comparisons: rows in place of steps, subtraction in float16, predictions in bfloat16."""


LARGEST_DEGREE = 10
"""Beyond the window a polynomial of a higher one is noise."""

LARGEST_FACTOR = 1000.0
MOST_TARGETS = 1000
"""Each is a checkpoint that answers all questions."""

_AUTO = WithJsonSchema({"type": "string", "title": "auto", "enum": ["auto"]})


class PredictionOptions(Section):
    """What of the fit a prediction uses; the defaults are the paper's method."""

    rank: int | None = Field(default=None, ge=1, le=MOST_RANK)
    """Leading directions to use; all that were fitted by default."""

    degree: int = Field(default=1, ge=0, le=LARGEST_DEGREE)
    """Degree of the polynomial through the coefficients."""

    line_steps: tuple[Step, Step] | None = None
    """First and last step that the polynomial is fitted on; all by default. With an end before that
    of the window the directions know what the line does not: the paper's oracle."""

    denoise: Literal["no", "fitted", "observed"] = "no"
    """For a step inside the window: its coefficient on the polynomial, or the observed one."""

    anchor: Literal["base", "newest"] = "base"
    """What the displacement is added to: the base, or the newest snapshot, which then only moves by
    the difference that the polynomial predicts."""

    shrinkage: float = Field(default=1.0, ge=-LARGEST_FACTOR, le=LARGEST_FACTOR)
    """Factor on the displacement from the anchor."""

    norms: Literal["predicted", "newest"] = "predicted"
    """Whether the weights of normalisation layers are predicted, or copied from the newest
    snapshot."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.line_steps is not None and self.line_steps[0] >= self.line_steps[1]:
            raise ValueError(f"line_steps: {self.line_steps} is no range of steps")
        return self

    @property
    def needs_window(self) -> bool:
        """Whether the newest snapshot takes part beside base and factors."""
        return self.anchor == "newest" or self.norms == "newest"


class ExtrapolationConfig(Section):
    """The fit and the steps to extrapolate to."""

    targets: (
        Annotated[Literal["auto"], _AUTO]
        | Annotated[
            tuple[Step, ...], Field(min_length=1, max_length=MOST_TARGETS, title="these steps")
        ]
    )
    """`auto` searches for the best target; or optimizer steps, each beyond the window, which are
    all measured on all questions."""

    search: SearchConfig = SearchConfig()
    """How `auto` searches."""

    rank: int = Field(default=1, ge=1, le=MOST_RANK)
    """Directions per tensor. The paper's finding is that one is enough."""

    memory_bytes: int | None = Field(default=None, ge=1_000_000, le=10**15)
    """Memory that the fit may use for weights of the window, in bytes; by default 2 GB on the CPU,
    half of what is free on every GPU."""

    @field_validator("targets", mode="wrap")
    @classmethod
    def _check_targets(cls, value: Any, read: ValidatorFunctionWrapHandler) -> Any:
        """One message in place of one for `auto` and one for the list."""
        try:
            return read(value)
        except ValidationError as error:
            raise PydanticCustomError(
                "targets",
                "input should be auto, or a list of steps beyond the window such as [60, 120], "
                f"no more than {MOST_TARGETS} of them",
            ) from error

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.targets != "auto" and self.search != SearchConfig():
            raise ValueError("search: is for targets: auto; these targets are all measured")
        return self

    @property
    def listed_targets(self) -> tuple[int, ...]:
        """The targets of the recipe's list; none for `auto`."""
        return () if self.targets == "auto" else self.targets
