"""The choice between what was trained and what was extrapolated."""

from relex.selection.decide import decide, decide_guarded
from relex.selection.decision import CandidateResult, Decision
from relex.selection.facts import Habits
from relex.selection.intervals import Interval, bootstrap_interval
from relex.selection.measured import Measured
from relex.selection.paired import PairedTest, paired_test, paired_tests
