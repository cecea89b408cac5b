"""The base of every config, and the bounds that its fields share."""

import re
from typing import Annotated, Any, get_args

from pydantic import ConfigDict, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from relex.strict import Step, Strict

UNWRITABLE = re.compile(r"[\x00\ud800-\udfff]")
"""NUL, and halves of surrogate pairs."""

LONGEST_TEXT = 20_000
"""Characters of any text in a recipe: a system prompt with examples has fewer."""

LARGEST_SEED = 2**31 - 1
"""numpy takes 32 bits, and each training process adds its rank."""

MOST_STEPS = 100_000
"""Of a training, and so of a list of its steps, each of which may be a snapshot."""

MOST_SAMPLES = 10_000
"""Answers to one question: pass at k is published up to some thousands."""

MOST_TOKENS = 10_000_000
"""Of a prompt with its answer; the longest contexts of today hold them."""

HOTTEST = 100.0
"""Sampling temperature: at it every token is about as likely as any other."""

MOST_ENTRIES = 100
"""Of a list that a person writes: rewards, benchmarks, seeds."""

LARGEST_NUMBER = 10**15
"""Of a parameter of a user's own: JSON, in which it travels, keeps whole numbers up to here."""

AUTO = WithJsonSchema({"type": "string", "title": "auto", "enum": ["auto"]})
"""How a form asks for the word in place of a value."""

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Steps = Annotated[tuple[Step, ...], Field(max_length=MOST_STEPS)]
Setting = (
    str
    | Annotated[int, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
    | Annotated[float, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
    | bool
)
"""A parameter of a user's own."""


class Section(Strict):
    """A part of what a person writes: texts are bounded and can be stored anywhere, and `on` and
    `yes`, which YAML takes for true, are neither numbers nor texts."""

    model_config = ConfigDict(str_max_length=LONGEST_TEXT)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_unfit(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        listed = value if isinstance(value, list | tuple) else (value,)
        kind = cls.model_fields[info.field_name].annotation
        if any(isinstance(one, bool) for one in listed) and not _takes_bool(kind):
            raise PydanticCustomError(
                "truth_value", "input should not be true or false (put a word in quotes)"
            )
        if any(isinstance(one, str) and UNWRITABLE.search(one) for one in listed):
            raise PydanticCustomError("unwritable", "no file and no database can hold this text")
        return value


def _takes_bool(kind: Any) -> bool:
    return kind is bool or any(map(_takes_bool, get_args(kind)))
