"""Opens the checkpoint of one step, in whatever form it is."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from relex.checkpoints import Checkpoint
from relex.checkpoints.weight_files import SINGLE_FILE
from relex.children import Child
from relex.errors import WindowError
from relex.storage.atomic import new_folder
from relex.window.trainers.names import StepNames
from relex.window.trainers.places import Place, names_in, weight_place

CONVERTED = "converted"


def open_checkpoint(folder: Path) -> Checkpoint:
    """The weights in the folder of a step, where they are safetensors.

    Raises WindowError where they are not, as `weight_place` too; CheckpointError when they are
    missing or damaged.
    """
    place = weight_place(str(folder), names_in(folder))
    _check_allowed(str(folder), place, allow_pickle=False)
    return Checkpoint(folder / place.folder)


@dataclass(frozen=True)
class CheckpointOpener:
    """What is known beforehand of the checkpoints that are opened."""

    names: StepNames
    """How their folders are called."""

    work: Path
    """Folder where pickled weights become safetensors; it needs room for two steps of them."""

    allow_pickle: bool = False
    """Whether someone said that pickled weights may be read."""

    def check(self, where: str, place: Place) -> None:
        """Raise WindowError when the weights there may not be read."""
        _check_allowed(where, place, self.allow_pickle)

    def open(self, folder: Path, step: int) -> Checkpoint:
        """As `open_checkpoint`, for pickled weights too where they are allowed."""
        place = weight_place(str(folder), names_in(folder))
        self.check(str(folder), place)
        if not place.is_pickled:
            return Checkpoint(folder / place.folder)
        out = self.folder(step) / CONVERTED
        if not out.exists():
            with new_folder(out) as partial:
                _convert(folder / place.folder, place.form, partial / SINGLE_FILE)
        return Checkpoint(out)

    def folder(self, step: int) -> Path:
        """For files of a step."""
        return self.work / f"step_{step}"

    def release(self, step: int) -> None:
        """Remove what was made of the step."""
        shutil.rmtree(self.folder(step), ignore_errors=True)


def _check_allowed(where: str, place: Place, allow_pickle: bool) -> None:
    if place.form == "adapter":
        raise WindowError(
            f"{where}: holds a LoRA adapter, which is small as it is; fit the folder of all steps "
            "itself"
        )
    if place.is_pickled and not allow_pickle:
        raise WindowError(
            f"{where}: its weights are pickled ({place.folder or 'in the folder itself'}, "
            f"{place.form}); relex window pack --allow-pickle reads tensors and nothing else of "
            "them, in a process of their own (in a recipe, window.allow_pickle); or let the "
            "trainer save safetensors"
        )


def _convert(folder: Path, form: str, out: Path) -> None:
    arguments = [str(folder), form, str(out)]
    with Child.of_module(
        "relex.window.trainers.convert", arguments, on_log=lambda line: None
    ) as child:
        for _ in child.events():
            pass
