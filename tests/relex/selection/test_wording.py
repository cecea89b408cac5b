import pytest

from relex.selection import Interval
from relex.selection.wording import show_interval


@pytest.mark.parametrize(
    ("low", "words"),
    [(0.0321, "0.032"), (0.0004, "0.0004"), (-0.0004, "-0.0004"), (0.0, "0.000"), (-1e-9, "0.000")],
)
def test_an_end_that_is_not_zero_does_not_look_like_it(low, words):
    assert show_interval(Interval(low=low, high=0.25)) == f"[{words}, 0.250]"
