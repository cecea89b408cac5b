"""The short GRPO run: a child process that trains and hands its snapshots to a window."""

from relex.training.base_check import check_base
from relex.training.events import (
    RolloutsChosen,
    SnapshotStored,
    StepTrained,
    TrainingEvent,
    TrainingResumed,
    TrainingWarning,
    WindowLooked,
)
from relex.training.filling import filling
from relex.training.job import MOMENTS, TrainingJob
from relex.training.judge import computed_terms
from relex.training.preflight import check_one_machine, check_training
from relex.training.process import run_training
