"""The base of everything that is read from outside or handed to another process."""

from pydantic import BaseModel, ConfigDict


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
