"""Where a run extrapolates to, and how."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from relex.config.search import SearchConfig
from relex.config.strict import AUTO, MOST_ENTRIES, Section, Step

MOST_TARGETS = 1000
"""Each is a checkpoint that answers all questions."""


class ExtrapolationConfig(Section):
    """The steps to extrapolate to, and the methods that go there."""

    targets: (
        Annotated[Literal["auto"], AUTO]
        | Annotated[
            tuple[Step, ...], Field(min_length=1, max_length=MOST_TARGETS, title="these steps")
        ]
    )
    """`auto` searches for the best target; or optimizer steps, each beyond the window, which are
    all measured on all questions."""

    search: SearchConfig = SearchConfig()
    """How `auto` searches."""

    methods: tuple[str, ...] = Field(default=("line",), min_length=1, max_length=MOST_ENTRIES)
    """How listed targets are reached: `line` is the paper's method, `line-rank3` the same along
    three directions; `relex predict --help` lists the others, and `module:NAME` is your own."""

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
        if self.targets == "auto" and self.methods != ("line",):
            raise ValueError("methods: are for listed targets; a search tries its own")
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods: {', '.join(self.methods)}: list each method once")
        return self

    @property
    def listed_targets(self) -> tuple[int, ...]:
        """The targets of the recipe's list; none for `auto`."""
        return () if self.targets == "auto" else self.targets
