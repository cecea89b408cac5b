"""The base of every config: unknown keys are errors, values are frozen, defaults are checked."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen pydantic model; the docstring under a field is its description in forms and docs."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )
