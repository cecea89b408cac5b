"""Text that comes from data, where it is shown: what cannot be seen, or steers what shows it, is
written out, so that it neither hides nor moves what stands beside it."""

import unicodedata

# Other, without those not assigned yet, which may be letters of a newer Unicode; line separators.
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
SMALL = 1e-3
JOINER = "\u200d"
"""Joins emoji, and letters of some scripts; turns nothing over."""


def visible(text: str) -> str:
    r"""`text` with control characters, marks of direction and halves of surrogate pairs as escapes,
    such as `\x1b` and `\u202e`; line ends and tabs stay."""
    return "".join(map(_escaped, text)) if not text.isprintable() else text


def one_line(text: str, num_characters: int = 0) -> str:
    """`visible`, with every run of white space as one space, without its middle where it is longer
    than `num_characters`; 0 keeps all of it."""
    line = visible(" ".join(text.split()))
    if not num_characters or len(line) <= num_characters:
        return line
    half = (num_characters - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def number(value: float) -> str:
    """A rate or a share, in the one way in which it is written everywhere: `1e-5`, `0.7`, `3`."""
    if value == 0 or abs(value) >= SMALL:
        return f"{value:.12g}"
    digits, _, exponent = f"{value:.11e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def _escaped(character: str) -> str:
    if character in "\n\t" or character == JOINER:
        return character
    if unicodedata.category(character) not in UNSEEN:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()
