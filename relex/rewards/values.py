"""What a reward returned, as finite numbers: the plain meaning of it, or a reason why not."""

import math
from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any

SHORT_CHARACTERS = 200
LARGEST_VALUE = 1e12
"""Training squares rewards and adds them up in float32, which ends at 3e38."""


def listed(returned: Any, most: int) -> list[Any] | None:
    """The first `most` values of a list, array, tensor or generator; None for anything else."""
    if isinstance(returned, str | bytes | bytearray | Mapping | Set):
        return None
    if not isinstance(returned, Iterable) or getattr(returned, "ndim", 1) == 0:
        return None
    return list(islice(returned, most))


def as_number(value: Any) -> float | None:
    """The number that a value is: of Python, or an array or tensor with one element. None for all
    else; infinite where it is beyond a float."""
    try:
        if getattr(value, "mask", False):
            return None
        if hasattr(value, "item") and hasattr(value, "ndim"):
            value = value.item()
        return float(value) if isinstance(value, Real | Decimal) else None
    except OverflowError:
        return math.inf
    except Exception:
        return None


def described(value: Any) -> str:
    """Any value, on one short line."""
    try:
        return shortened(repr(value))
    except Exception:
        # Python writes no integers of more than 4,300 digits, and an object may raise.
        return f"an object of type {type(value).__name__}"


def shortened(text: str) -> str:
    """Text for a message: on one line that any terminal can show, cut after 200 characters."""
    line = " ".join(text[:SHORT_CHARACTERS].split())
    shown = line.encode("utf-8", "backslashreplace").decode()
    return shown if len(text) <= SHORT_CHARACTERS else f"{shown}..."
