"""What other trainers write: how they name steps, where they put weights, in which form."""

from relex.window.trainers.names import KNOWN_NAMES, StepNames
from relex.window.trainers.opener import CheckpointOpener, open_checkpoint
from relex.window.trainers.places import Place, names_in, weight_place
