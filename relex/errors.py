"""Every error that relex raises on purpose.

RelexError
├── InputError            what the user gave cannot be used: exit code 2
│   ├── RecipeError       unknown key, impossible combination, wrong value
│   ├── CheckpointError   missing, damaged, pickled or mismatching checkpoint
│   ├── WindowError       a window that is missing, damaged or not the one expected
│   ├── FactorsError      factors that are missing, damaged or of another base
│   ├── RewardError       a reward that does not import or breaks its contract
│   ├── ProblemError      problems that cannot be read, or splits that overlap
│   ├── StorageError      a folder or bucket that does not exist or refuses
│   ├── TrackingError     MLflow cannot be reached or refuses
│   ├── ClaimError        another process works on the run
│   └── ResourceError     no GPU, no disk space, a program that is not installed
└── StageError            a failure of ours while working: exit code 1
    ├── TrainingError     the training process failed
    │   └── NoLearningError   training learned nothing, or what is wrong, and was ended
    ├── UploadError       bytes could not be made safe
    ├── LimitError        a stage took longer than its recipe allows
    ├── LostError         a process on another node is gone, with its node or without
    └── EngineError       the generation engine failed or gave answers that cannot be trusted

A message says where, what was found, and what to do.
"""


class RelexError(Exception):
    """Base of the tree. `exit_code` is what a command line ends with."""

    exit_code = 1


class InputError(RelexError):
    exit_code = 2


class RecipeError(InputError):
    pass


class CheckpointError(InputError):
    pass


class WindowError(InputError):
    pass


class FactorsError(InputError):
    pass


class RewardError(InputError):
    pass


class ProblemError(InputError):
    pass


class StorageError(InputError):
    pass


class TrackingError(InputError):
    pass


class ClaimError(InputError):
    pass


class ResourceError(InputError):
    pass


class StageError(RelexError):
    pass


class TrainingError(StageError):
    pass


class NoLearningError(TrainingError):
    pass


class UploadError(StageError):
    pass


class LimitError(StageError):
    pass


class LostError(StageError):
    pass


class EngineError(StageError):
    pass
