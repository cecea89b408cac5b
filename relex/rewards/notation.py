r"""Numbers as programs and physicists write them, which math-verify reads as something else.

It takes `4.5e33` for 4.5 times e times 33, `np.arcsin` and `-1./3` for nothing, compares decimals
after rounding to 6 places, so that 2.8e-7 equals 4.9e-7, and does not see that 8.7 * 10^8 is
870000000. The answers of Minerva are full of such numbers.
"""

import re
from decimal import Decimal

EXPONENT = re.compile(r"(?<![\w.\\])(\d+(?:\.\d*)?|\.\d+)[eE]([+-]?\d+)(?![\w.])")
BARE_POINT = re.compile(r"(?<=\d)\.(?=\s*(?:[-+*/)}\],;$]|\\|$))")
NUMPY = re.compile(r"\bnp\.(?=[a-z])")

DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+"
POWER_OF_TEN = r"10 ?\^ ?(?:\{ ?([+-]?\d{1,4}) ?\}|(\d))"
PLAIN_NUMBER = re.compile(
    rf"\$? ?([+-]?) ?(?:({DIGITS})(?: ?\\(?:times|cdot) ?{POWER_OF_TEN})?|{POWER_OF_TEN}) ?\$?"
)
# Of the larger number: what 6 places are for numbers about 1.
TOLERANCE = Decimal("1e-6")


def in_latex(text: str) -> str:
    r"""`4.5e33` as `4.5 \times 10^{33}`, `-1./3` as `-1/3`, `np.arcsin` as `\arcsin`."""
    text = NUMPY.sub(r"\\", EXPONENT.sub(r"\1 \\times 10^{\2}", text))
    return BARE_POINT.sub("", text)


def plain_number(text: str) -> Decimal | None:
    r"""The number that a text is, whole, decimal or times a power of ten; None for anything else.

    The power has at most four digits.
    """
    # White space is made short first: a pattern with several \s* takes quadratic time over it.
    match = PLAIN_NUMBER.fullmatch(in_latex(" ".join(text.split())))
    if match is None:
        return None
    sign, digits, *powers = match.groups()
    power = next((power for power in powers if power), "0")
    return Decimal(f"{sign}{(digits or '1').replace(',', '')}e{power}")


def equal_numbers(gold: Decimal, answer: Decimal) -> bool:
    """Whether two numbers are equal: whole ones exactly, others up to a millionth of the larger."""
    if gold == answer:
        return True
    if is_whole(gold) and is_whole(answer):
        return False
    return abs(gold - answer) <= TOLERANCE * max(abs(gold), abs(answer))


def is_whole(number: Decimal) -> bool:
    """Whether the number has no digits after the point, told without writing them out."""
    exponent = number.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= 0
