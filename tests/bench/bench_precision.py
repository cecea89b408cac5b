"""What each precision of a window costs, and what it changes in the fit: on a real run of the toy.

    python tests/bench/bench_precision.py [--work FOLDER]

Trains the toy for 30 steps (a minute or two), keeps the trainer's own float32 weights, and writes
them again in every precision. Bytes are those of all objects of the window. The explained fraction
is the median over tensors of more than 1,000 elements; the error is that of the displacement
predicted for step 120, relative to the prediction from float32, over all of them together. Storing
a step (encoding, writing, reading back) happens beside training and is compared with a step of it.
"""

import argparse
import shutil
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from relex.checkpoints import TOY_BASE, Checkpoint
from relex.config import Recipe, load_recipe
from relex.extrapolation import Factors, fit_factors, quality
from relex.storage.folder import FolderStore
from relex.training import StepTrained, TrainingEvent, TrainingJob, run_training
from relex.window import Precision, StoredWindow, open_stored_window, open_writer
from tests.displacements import predict_displacement
from tests.snapshots import TensorsAtHand

ROOT = Path(__file__).parents[2]
TOY = ROOT / "deployments" / "recipes" / "toy.yaml"
SMALLEST_TENSOR = 1000
TARGET = 120
KEPT: tuple[Precision, ...] = ("float32", "bfloat16", "rounded")


def train(work: Path) -> tuple[StoredWindow, float]:
    """The toy's window as the trainer has it, and the median seconds of a step."""
    recipe = load_recipe(TOY)
    training = recipe.training.model_copy(update={"snapshot_dtype": "float32"})
    recipe = Recipe.model_validate({**recipe.model_dump(), "training": training.model_dump()})
    uri = str(work / "exact")
    job = TrainingJob(recipe=recipe, base=str(TOY_BASE), window=uri, work=str(work / "training"))
    step_seconds: list[float] = []

    def note(event: TrainingEvent) -> None:
        if isinstance(event, StepTrained):
            step_seconds.append(event.step_seconds)

    run_training(job, note, lambda line: None)
    return open_stored_window(uri, base=Checkpoint(TOY_BASE)), statistics.median(step_seconds)


def rewrite(exact: StoredWindow, base: Checkpoint, precision: Precision, out: Path) -> float:
    """Write the window in another precision; returns the median seconds to store a step."""
    writer = open_writer(FolderStore(out), base, precision, exact.steps)
    seconds = []
    for step in exact.steps:
        tensors = {
            name: exact.read(step, name).reshape(info.shape) for name, info in exact.tensors.items()
        }
        start = time.perf_counter()
        writer.append(step, TensorsAtHand(tensors))
        seconds.append(time.perf_counter() - start)
    writer.finish()
    return statistics.median(seconds)


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
    exact, step_seconds = train(work)
    table = Table(title=f"a step of training takes {step_seconds:.2f} s")
    table.add_column("precision")
    for column in ("bytes", "of the base", "explained", f"error at k = {TARGET}", "store a step"):
        table.add_column(column, justify="right")
    reference: torch.Tensor | None = None
    for precision in KEPT:
        store_seconds = rewrite(exact, base, precision, work / precision)
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
        table.add_row(precision, *cells, f"{store_seconds:.3f} s")
    Console(width=110).print(table)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
