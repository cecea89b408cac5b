"""Numbers as programs write them."""

from decimal import Decimal

import pytest

from relex.rewards.notation import equal_numbers, in_latex, plain_number


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("4.5e33", r"4.5 \times 10^{33}"),
        ("x=-1.E-5", r"x=-1 \times 10^{-5}"),
        ("-1./3", "-1/3"),
        ("(1.,2.)", "(1,2)"),
        ("np.arcsin(x)", r"\arcsin(x)"),
        ("e^{2}", "e^{2}"),
        ("2e", "2e"),
        ("0x1e5", "0x1e5"),
        ("3.14", "3.14"),
    ],
)
def test_program_notation_becomes_latex(text: str, latex: str) -> None:
    assert in_latex(text) == latex


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", "7"),
        ("$ -7.50 $", "-7.5"),
        ("1,234,567", "1234567"),
        (".5", "0.5"),
        ("8.7e8", "870000000"),
        (r"6.02 \cdot 10^{23}", "6.02e23"),
        ("10^5", "100000"),
        ("10^{-5}", "1e-5"),
    ],
)
def test_a_plain_number_is_read(text: str, value: str) -> None:
    assert plain_number(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1 2", "1,2", "1/2", "50%", "--1", "1e99999", "1,23"])
def test_anything_else_is_no_plain_number(text: str) -> None:
    assert plain_number(text) is None


@pytest.mark.parametrize(
    ("gold", "answer", "equal"),
    [
        ("7", "7.000", True),
        ("1000000", "1000001", False),
        ("2.8e-7", "4.9e-7", False),
        ("0.3333333", "0.33333333", True),
        ("0.333", "0.3333333", False),
        ("1e9999", "1e-9999", False),
        ("0", "1e-9", False),
    ],
)
def test_numbers_are_compared_relative_to_their_size(gold: str, answer: str, equal: bool) -> None:
    assert equal_numbers(Decimal(gold), Decimal(answer)) is equal
