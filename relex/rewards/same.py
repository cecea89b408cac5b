"""Whether what a program printed or returned is what was expected. It may be anything: it is plain
data here, and nothing of it is larger in memory than a small multiple of its text."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any


def same_output(printed: str, expected: str, tolerance: float) -> bool:
    """Whether two texts have the same lines, white space at their ends aside, or lines with the
    same numbers, which may differ by `tolerance`, relative or absolute (as in LiveCodeBench)."""
    printed, expected = printed.strip(), expected.strip()
    # Counted first: millions of lines, each a text of its own, would fill the memory.
    return printed.count("\n") == expected.count("\n") and all(
        _same_line(line.strip(), other.strip(), tolerance)
        for line, other in zip(printed.split("\n"), expected.split("\n"), strict=True)
    )


def _same_line(line: str, expected: str, tolerance: float) -> bool:
    if line == expected:
        return True
    wanted = expected.split()
    words = line.split(maxsplit=len(wanted))
    if len(words) != len(wanted):
        return False
    try:
        return all(
            _same_number(word, other, tolerance) for word, other in zip(words, wanted, strict=True)
        )
    except (InvalidOperation, ValueError):
        return False


def _same_number(word: str, expected: str, tolerance: float) -> bool:
    if tolerance:
        return math.isclose(float(word), float(expected), rel_tol=tolerance, abs_tol=tolerance)
    return Decimal(word) == Decimal(expected)


def same_value(data: Any, expected: Any, tolerance: float) -> bool:
    """Whether a result, as `inside/plain.py` writes it, is the expected value, which comes from
    JSON: tuples are lists there, and the keys of a dictionary texts. Numbers may differ by
    `tolerance`, relative or absolute. Raises TypeError, ValueError or OverflowError for what
    `to_data` does not write."""
    kind, content = next(iter(data.items())) if isinstance(data, dict) else ("", data)
    if isinstance(expected, list) and kind in ("", "tuple") and isinstance(content, list):
        return len(content) == len(expected) and all(
            same_value(item, other, tolerance)
            for item, other in zip(content, expected, strict=True)
        )
    if isinstance(expected, dict) and kind == "dict" and len(content) == len(expected):
        # The same length first: no more keys are hashed than the test has.
        written = {str(key): value for key, value in content}
        return written.keys() == expected.keys() and all(
            same_value(written[key], expected[key], tolerance) for key in expected
        )
    if kind:
        return False
    numbers = (int, float)
    if tolerance and isinstance(data, numbers) and isinstance(expected, numbers):
        return data == expected or math.isclose(
            data, expected, rel_tol=tolerance, abs_tol=tolerance
        )
    return bool(data == expected)
