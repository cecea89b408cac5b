import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

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


@pytest.mark.parametrize("resemblance", [0.0, 0.5, 0.95])
def test_one_true_hypothesis_or_more_is_rejected_in_at_most_5_percent_of_studies(resemblance):
    """Four true hypotheses beside two false ones, with statistics that resemble each other."""
    num_studies, rng = 4000, np.random.default_rng(0)
    common_S1, own_SH = rng.standard_normal((num_studies, 1)), rng.standard_normal((num_studies, 6))
    statistic_SH = resemblance**0.5 * common_S1 + (1 - resemblance) ** 0.5 * own_SH
    statistic_SH[:, 4:] += 3
    p_value_SH = stats.norm.sf(statistic_SH)
    is_wrong = [min(holm(p_values)[:4]) <= 0.05 for p_values in p_value_SH.tolist()]
    assert np.mean(is_wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / num_studies)


@given(P_VALUES)
def test_a_corrected_p_value_is_between_the_p_value_and_bonferronis(p_values):
    for p_value, corrected in zip(p_values, holm(p_values), strict=True):
        assert p_value <= corrected <= min(1.0, len(p_values) * p_value) or corrected == 1.0
