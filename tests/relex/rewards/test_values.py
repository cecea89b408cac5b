"""Whatever a reward returns is taken for what it plainly means, or refused in one line."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from relex.errors import RewardError
from relex.rewards import CheckedReward

COMPLETIONS = ["first", "second\nline", "third"]


class Raises:
    def __repr__(self) -> str:
        raise OSError("no repr")


class Wide:
    def __repr__(self) -> str:
        return "wide\n" * 1000 + "\ud800"


NUMBERS = {
    "int": (2, 2.0),
    "float": (0.5, 0.5),
    "true": (True, 1.0),
    "false": (False, 0.0),
    "minus zero": (-0.0, 0.0),
    "smallest": (5e-324, 5e-324),
    "largest": (1e12, 1e12),
    "Decimal": (Decimal("0.25"), 0.25),
    "Fraction": (Fraction(1, 4), 0.25),
    "numpy float16": (np.float16(0.5), 0.5),
    "numpy float32": (np.float32(0.5), 0.5),
    "numpy float64": (np.float64(0.5), 0.5),
    "numpy longdouble": (np.longdouble(0.5), 0.5),
    "numpy int8": (np.int8(-3), -3.0),
    "numpy uint64": (np.uint64(3), 3.0),
    "numpy bool": (np.bool_(True), 1.0),
    "numpy 0-d": (np.array(0.5), 0.5),
    "numpy 1 element": (np.array([0.5]), 0.5),
    "numpy 1 x 1": (np.array([[0.5]]), 0.5),
    "torch 0-d": (torch.tensor(0.5), 0.5),
    "torch 1 element": (torch.tensor([0.5]), 0.5),
    "torch bfloat16": (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    "torch int": (torch.tensor(3), 3.0),
    "torch bool": (torch.tensor(True), 1.0),
    "torch with gradient": (torch.tensor(0.5, requires_grad=True), 0.5),
}
NO_NUMBERS = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "10**400": 10**400,
    "-10**5000": -(10**5000),
    "1e308": 1e308,
    "1.1e12": 1.1e12,
    "numpy nan": np.float32("nan"),
    "numpy inf": np.array(np.inf),
    "numpy longdouble beyond float": np.longdouble("1e400"),
    "numpy 2 elements": np.array([1.0, 2.0]),
    "numpy no element": np.array([]),
    "numpy complex": np.complex64(1),
    "numpy str": np.str_("1"),
    "numpy date": np.datetime64("2026-01-01"),
    "numpy masked": np.ma.masked,
    "torch nan": torch.tensor(math.nan),
    "torch 2 elements": torch.tensor([1.0, 2.0]),
    "torch meta": torch.empty((), device="meta"),
    "Decimal NaN": Decimal("NaN"),
    "Decimal sNaN": Decimal("sNaN"),
    "Decimal beyond float": Decimal("1e999"),
    "Fraction beyond float": Fraction(10**400),
    "None": None,
    "str": "1",
    "bytes": b"1",
    "complex": 1j,
    "list": [1.0],
    "tuple": (1.0,),
    "dict": {"score": 1.0},
    "nested": [[1.0]],
    "function": len,
    "class": float,
    "no repr": Raises(),
    "wide repr": Wide(),
}
LISTS: dict[str, Callable[[list[float]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": lambda values: (value for value in values),
    "map": lambda values: map(float, values),
    "dict values": lambda values: dict(enumerate(values)).values(),
    "range": lambda values: range(1, 1 + len(values)),
    "numpy": np.array,
    "numpy float16": lambda values: np.array(values, dtype=np.float16),
    "numpy n x 1": lambda values: np.array(values).reshape(-1, 1),
    "numpy object": lambda values: np.array(values, dtype=object),
    "torch": torch.tensor,
    "torch bfloat16": lambda values: torch.tensor(values, dtype=torch.bfloat16),
    "torch with gradient": lambda values: torch.tensor(values, requires_grad=True),
    "torch n x 1": lambda values: torch.tensor(values).reshape(-1, 1),
}
NO_LISTS = {
    "None": None,
    "number": 1.0,
    "bool": True,
    "str of that length": "abc",
    "bytes of that length": b"abc",
    "bytearray": bytearray(3),
    "dict of that length": {"a": 1, "b": 2, "c": 3},
    "set of that length": {1.0, 2.0, 3.0},
    "numpy 0-d": np.array(1.0),
    "torch 0-d": torch.tensor(1.0),
    "function": len,
    "object": Raises(),
}


def call(returned: object) -> list[float]:
    return CheckedReward("mine", lambda **_: returned)(
        prompts=COMPLETIONS, completions=COMPLETIONS, answers=COMPLETIONS
    )


def refusal(returned: object) -> str:
    with pytest.raises(RewardError) as caught:
        call(returned)
    message = str(caught.value)
    message.encode()
    assert message.startswith("reward mine: returned ") and message.isprintable()
    assert len(message) < 600
    return message


@pytest.mark.parametrize(("value", "meant"), NUMBERS.values(), ids=NUMBERS)
def test_what_plainly_is_a_number_is_taken(value: object, meant: float) -> None:
    values = call([0.0, value, 1])
    assert values == [0.0, meant, 1.0]
    assert all(type(each) is float for each in values)


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_finite_number_is_refused_with_its_completion(value: object) -> None:
    message = refusal([0.0, value, 1.0])
    assert message.endswith(r"; completion 2 of 3: 'second\nline'")
    assert "not a finite number" in message or "beyond 1e+12" in message


@pytest.mark.parametrize("make", LISTS.values(), ids=LISTS)
def test_what_plainly_is_a_list_is_taken(make: Callable[[list[float]], Any]) -> None:
    assert call(make([1.0, 2.0, 3.0])) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("returned", NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_is_refused(returned: object) -> None:
    assert refusal(returned).endswith(", not a list of numbers")


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        ([], "0"),
        ([1.0] * 2, "2"),
        ([1.0] * 4, "more than 3"),
        ([[1.0] * 3], "1"),
        (np.ones((1, 3)), "1"),
        (torch.ones(1, 3), "1"),
        (iter(lambda: 1.0, 2.0), "more than 3"),
    ],
    ids=["none", "too few", "too many", "nested", "numpy 1 x n", "torch 1 x n", "without end"],
)
def test_another_number_of_values_is_refused(returned: object, found: str) -> None:
    assert refusal(returned) == (
        f"reward mine: returned {found} values for 3 completions, the first of them 'first'; "
        "return one for each"
    )


def test_a_generator_that_raises_is_a_reward_that_raises() -> None:
    def pay(completions: list[str], **_: object) -> Any:
        return (1 / (text != "third") for text in completions)

    with pytest.raises(RewardError) as caught:
        CheckedReward("mine", pay)(
            prompts=COMPLETIONS, completions=COMPLETIONS, answers=COMPLETIONS
        )
    assert str(caught.value) == (
        "reward mine: raised ZeroDivisionError: division by zero; completion 3 of 3: 'third'"
    )
