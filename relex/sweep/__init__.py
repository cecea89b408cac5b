"""Sweeps over rewards: their trials, and the ranking of what these give."""

from relex.sweep.leaderboard import (
    CurvePoint,
    Leaderboard,
    Status,
    TrialMeasures,
    TrialResult,
    VariantResult,
)
from relex.sweep.ranking import rank
from relex.sweep.trials import Trial, build_trials, sweep_id
from relex.sweep.wording import verdict
