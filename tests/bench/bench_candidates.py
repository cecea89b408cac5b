"""Candidates on one engine, weights swapped in place, against an engine for each: `make bench`.

    python tests/bench/bench_candidates.py [--candidates 8] [--engines 8] [--repeats 1]

Every candidate answers 200 questions of the toy, 4 times each. Whole processes are measured, which
take turns; figures are medians. With fewer engines than candidates, those that were started say
what the others would have taken; the start of Python is counted once.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from measure import Measured, median, run
from rich.console import Console
from rich.table import Table

from relex.candidates import BASE, Candidate, denoised
from relex.checkpoints import TOY_BASE, Checkpoint, NamedTensor, write_checkpoint
from relex.config import Recipe, load_recipe
from relex.evaluation import EvaluationSession, Score
from relex.evaluation.weight_source import WeightSource
from relex.extrapolation import fit_factors
from relex.problems import load_problems
from relex.window import open_window

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "deployments" / "recipes" / "toy.yaml"
STEPS = (1, 2, 3)
NOISE = 0.01
CANDIDATES = (
    BASE,
    *(Candidate(step=step) for step in (2, 3)),
    denoised(3),
    *(Candidate(step=step, method="line") for step in (4, 6)),
    Candidate(step=6, method="shrunk"),
    Candidate(step=6, method="secant"),
)


def build_window(folder: Path) -> None:
    """Snapshots of the toy's base that move along one direction each, and their factors."""
    base = Checkpoint(TOY_BASE)
    for step in STEPS:
        write_checkpoint(folder / "window" / f"checkpoint-{step}", base, moved(base, step))
    fit_factors(open_window(str(folder / "window")), base, folder / "factors")


def moved(base: Checkpoint, step: int) -> Iterator[NamedTensor]:
    for number, name in enumerate(base.tensors):
        weights = base.read_tensor(name).float()
        noise = torch.randn(weights.shape, generator=torch.Generator().manual_seed(number))
        yield name, weights + step * NOISE * weights.std() * noise


def toy_recipe(samples: int) -> Recipe:
    recipe = load_recipe(RECIPE)
    update = {"samples_per_question": samples}
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update=update)})


def evaluate(folder: Path, out: Path, candidates: Sequence[Candidate]) -> list[Score]:
    """All candidates with one engine."""
    recipe = toy_recipe(samples=4)
    source = WeightSource(
        base=str(TOY_BASE), window=str(folder / "window"), factors=str(folder / "factors")
    )
    benchmarks = {"validation": load_problems(recipe.problems.validation)}
    with EvaluationSession(recipe, source, benchmarks, out, lambda *_: None, print) as session:
        return [session.measure(candidate, "validation") for candidate in candidates]


def work(folder: Path, num_candidates: int, num_engines: int) -> None:
    """What a measured process does: one engine for all, one for each of the last, or nothing."""
    chosen = CANDIDATES[:num_candidates]
    if num_engines == 0:
        return
    with tempfile.TemporaryDirectory() as out:
        if num_engines == 1:
            scores = evaluate(folder, Path(out), chosen)
        else:
            each = [evaluate(folder, Path(out), [c]) for c in chosen[-num_engines:]]
            scores = [score for found in each for score in found]
    swaps = [score.swap_seconds for score in scores if score.candidate != BASE]
    (folder / "swaps.json").write_text(json.dumps(swaps))


def measure(folder: Path, num_candidates: int, num_engines: int) -> tuple[Measured, list[float]]:
    arguments = ["--work", str(folder), "--candidates", str(num_candidates)]
    found = run([__file__, *arguments, "--engines", str(num_engines)], ROOT)
    return found, json.loads((folder / "swaps.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--engines", type=int, default=8, help="at least 2")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.candidates, options.engines)
        return
    together, apart, idle, swaps = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        build_window(Path(folder))
        for _ in range(options.repeats):
            found, seconds = measure(Path(folder), options.candidates, 1)
            together.append(found)
            swaps += seconds
            apart.append(measure(Path(folder), options.candidates, options.engines)[0])
            idle.append(measure(Path(folder), options.candidates, 0)[0])
    show(median(together), median(apart), median(idle), options.candidates, options.engines)
    Console().print(
        f"a swap takes {statistics.median(swaps):.2f} s, at most {max(swaps):.2f} s (wall)"
    )


def show(
    together: Measured, apart: Measured, idle: Measured, num_candidates: int, num_engines: int
) -> None:
    scale = num_candidates / num_engines
    seconds = idle.seconds + scale * (apart.seconds - idle.seconds)
    cpu_seconds = idle.cpu_seconds + scale * (apart.cpu_seconds - idle.cpu_seconds)
    table = Table("", "seconds", "CPU s", title=f"{num_candidates} candidates of the toy")
    for name, figures in {
        "start of Python": (idle.seconds, idle.cpu_seconds),
        "one engine": (together.seconds, together.cpu_seconds),
        f"an engine for each ({num_engines} started)": (seconds, cpu_seconds),
        "ratio": (seconds / together.seconds, cpu_seconds / together.cpu_seconds),
    }.items():
        table.add_row(name, *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
