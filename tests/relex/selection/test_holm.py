import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relex.selection import holm

P_VALUES = st.lists(st.floats(0, 1), max_size=8)


def test_the_example_of_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_one_comparison_needs_no_correction():
    assert (holm([0.03]), holm([])) == ([0.03], [])


@given(P_VALUES, st.floats(0.001, 0.5))
def test_what_is_rejected_is_what_the_step_down_procedure_rejects(p_values, alpha):
    """The procedure as Holm wrote it: compare with alpha / m, alpha / (m - 1), ..., then stop."""
    rejected = set()
    for num_before, index in enumerate(np.argsort(p_values, kind="stable")):
        if (len(p_values) - num_before) * p_values[index] > alpha:
            break
        rejected.add(index)
    assert {i for i, corrected in enumerate(holm(p_values)) if corrected <= alpha} == rejected


@given(P_VALUES)
def test_a_corrected_p_value_is_between_the_p_value_and_bonferronis(p_values):
    for p_value, corrected in zip(p_values, holm(p_values), strict=True):
        assert p_value <= corrected <= min(1.0, len(p_values) * p_value) or corrected == 1.0
