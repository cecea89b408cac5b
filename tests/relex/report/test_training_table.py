"""The training table is even from the first step to the last."""

import itertools
import re

import pytest

from relex.report import TrainingStep
from relex.report.markdown import CURVE_ROWS, _curve


@pytest.mark.parametrize("num_steps", [1, 2, 8, 10, 11, 30, 100])
def test_rows_are_evenly_spaced_and_all_of_a_short_run(summary, num_steps):
    steps = tuple(
        TrainingStep(step=step, metrics={"reward_mean": 0.5}) for step in range(1, num_steps + 1)
    )
    table = _curve(summary.model_copy(update={"training": steps}))
    shown = [int(step) for step in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
    assert (shown[0], shown[-1]) == (1, num_steps)
    assert len(shown) == min(num_steps, CURVE_ROWS)
    gaps = [after - before for before, after in itertools.pairwise(shown)]
    assert not gaps or max(gaps) - min(gaps) <= 1
