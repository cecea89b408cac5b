"""The base of everything that is read from outside or handed to another process."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LAST_STEP = 10_000_000
"""Of any target: a hundred times the longest training."""

Step = Annotated[int, Field(ge=0, le=LAST_STEP)]


class Strict(BaseModel):
    """A frozen pydantic model; the docstring under a field is its description in forms and docs.

    Unknown keys are errors, and defaults are checked.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
