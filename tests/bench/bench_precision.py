"""What each precision of a window costs, and what it changes in the fit: on a real run of the toy.

    python tests/bench/bench_precision.py [--work FOLDER]

Trains the toy for 30 steps (a minute or two), keeps the trainer's own float32 weights, and writes
them again in every precision. Bytes are those of all objects of the window. The explained fraction
is the median over tensors of more than 1,000 elements; the error is that of the displacement
predicted for step 120, relative to the prediction from float32, over all of them together.
"""

import argparse
import shutil
import statistics
from pathlib import Path
from typing import get_args

import torch
from rich.console import Console
from rich.table import Table

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe, load_recipe
from relex.config.training import SnapshotDtype
from relex.extrapolation import Factors, fit_factors, predict_displacement, quality
from relex.storage.folder import FolderStore
from relex.training import TrainingJob, run_training
from relex.window import StoredWindow, open_stored_window, open_writer
from relex.window.codec import TensorsAtHand

ROOT = Path(__file__).parents[2]
TOY = ROOT / "deployments" / "recipes" / "toy.yaml"
SMALLEST_TENSOR = 1000
TARGET = 120


def train(work: Path) -> StoredWindow:
    """The toy's window as the trainer has it."""
    recipe = load_recipe(TOY)
    training = recipe.training.model_copy(update={"snapshot_dtype": "float32"})
    recipe = Recipe.model_validate({**recipe.model_dump(), "training": training.model_dump()})
    uri = str(work / "exact")
    job = TrainingJob(recipe=recipe, base=str(TOY_BASE), window=uri, work=str(work / "training"))
    run_training(job, lambda event: None, lambda line: None)
    return open_stored_window(uri, base=Checkpoint(TOY_BASE))


def rewrite(exact: StoredWindow, base: Checkpoint, precision: SnapshotDtype, out: Path) -> None:
    writer = open_writer(FolderStore(out), base, precision, exact.steps)
    for step in exact.steps:
        tensors = {
            name: exact.read(step, name).reshape(info.shape) for name, info in exact.tensors.items()
        }
        writer.append(step, TensorsAtHand(tensors))
    writer.finish()


def large_tensors(base: Checkpoint) -> list[str]:
    return [name for name, info in base.tensors.items() if info.num_elements > SMALLEST_TENSOR]


def predictions(factors: Factors, base: Checkpoint) -> torch.Tensor:
    return torch.cat([predict_displacement(factors, name, TARGET) for name in large_tensors(base)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT / ".relex" / "bench" / "precision")
    work = parser.parse_args().work
    shutil.rmtree(work, ignore_errors=True)
    base = Checkpoint(TOY_BASE)
    exact = train(work)
    table = Table("precision", "bytes", "of the base", "explained", f"error at k = {TARGET}")
    reference: torch.Tensor | None = None
    for precision in get_args(SnapshotDtype):
        rewrite(exact, base, precision, work / precision)
        window = open_stored_window(str(work / precision), base=base)
        factors = fit_factors(window, base, work / f"{precision}-factors", device="cpu")
        fits = [quality([factors.table.tensors[name]]) for name in large_tensors(base)]
        explained = statistics.median(fit.explained_fraction or 0.0 for fit in fits)
        predicted = predictions(factors, base)
        reference = predicted if reference is None else reference
        error = float((predicted - reference).norm() / reference.norm())
        files = (path for path in (work / precision).rglob("*") if path.is_file())
        num_bytes = sum(path.stat().st_size for path in files)
        of_base = num_bytes / (TOY_BASE / "model.safetensors").stat().st_size
        cells = (f"{num_bytes:,}", f"{of_base:.2f}", f"{explained:.3f}", f"{error:.3f}")
        table.add_row(precision, *cells)
    Console(width=110).print(table)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
