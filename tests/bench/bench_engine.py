"""How near the fit is to the limit of the disk: `make bench` runs it.

    python tests/bench/bench_engine.py [--work FOLDER] [--repeats 3] [--keep]

Builds a Qwen3 of 116 M parameters at 24 steps (5.8 GB), and measures whole processes that make
three extrapolated checkpoints of it: the published procedure and ours; beside them a plain read of
the files and the import of torch. Cold means that the files are dropped from the page cache first.
Figures are medians; the variants take turns, so that a busy machine slows all of them. Bytes are
those of read and write calls; what the published procedure maps into memory is not among them.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from measure import Measured, forget, median, run
from reference_window import build_reference_window
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
BENCH = Path(__file__).parent
TARGETS = (50, 100, 200)
WEIGHTS = "model.safetensors"
RELEX = ("-c", "from relex.cli.app import main; main()")
LAYERS = (2, 4, 8, 12)
STEPS = (6, 12, 18, 24)
FEW_STEPS = 8


@dataclass(frozen=True)
class Bench:
    """Programs on one window; every run starts without results of the one before it."""

    window: Path
    work: Path

    def read(self) -> list[Measured]:
        return [run([str(BENCH / "plain_read.py"), str(self.window)], ROOT)]

    def write(self) -> list[Measured]:
        """As many bytes as a checkpoint has, and nothing else."""
        num_bytes = (self.window / "base" / WEIGHTS).stat().st_size
        path = self._fresh("written") / WEIGHTS
        path.parent.mkdir()
        return [run(["-c", f"open({str(path)!r}, 'wb').write(bytes({num_bytes}))"], ROOT)]

    def torch(self) -> list[Measured]:
        return [run(["-c", "import torch"], ROOT)]

    def published(self) -> list[Measured]:
        """Two processes, as published: deltas, then fit."""
        script, window = str(BENCH / "published.py"), str(self.window)
        deltas, out = self._fresh("deltas"), self._fresh("published")
        runs = [run([script, "deltas", window, str(deltas)], ROOT)]
        runs.append(run([script, "fit", window, str(deltas), str(out), *map(str, TARGETS)], ROOT))
        shutil.rmtree(deltas)
        return runs

    def dense(self, *options: str, targets: tuple[int, ...] = TARGETS) -> list[Measured]:
        arguments = self._extrapolate(self.window, targets)
        return [run([*RELEX, *arguments, "--device", "cpu", *options], ROOT)]

    def _extrapolate(self, window: Path, targets: tuple[int, ...]) -> list[str]:
        steps = [option for target in targets for option in ("--step", str(target))]
        base, out = str(self.window / "base"), str(self._fresh("ours"))
        return ["extrapolate", str(window), "--base", base, "--out", out, *steps]

    def sparse(self, *options: str) -> list[Measured]:
        """The same from the window of deltas."""
        arguments = self._extrapolate(self.packed, TARGETS)
        return [run([*RELEX, *arguments, "--device", "cpu", *options], ROOT)]

    @property
    def packed(self) -> Path:
        """The window of deltas with the same snapshots."""
        return self.work / "packed"

    def pack(self) -> None:
        base, out = str(self.window / "base"), str(self._fresh("packed"))
        run([*RELEX, "window", "pack", str(self.window), "--base", base, "--out", out], ROOT)

    def one_target(self) -> list[Measured]:
        return self.dense(targets=TARGETS[:1])

    def _fresh(self, name: str) -> Path:
        shutil.rmtree(self.work / name, ignore_errors=True)
        return self.work / name


VARIANTS = {
    "plain read": Bench.read,
    "write": Bench.write,
    "import torch": Bench.torch,
    "published procedure": Bench.published,
    "relex, dense folders": Bench.dense,
    "relex, window of deltas": Bench.sparse,
    "relex, one target": Bench.one_target,
}


def total(runs: list[Measured]) -> Measured:
    """Several processes one after another: times and bytes add up, the larger memory counts."""
    return Measured(
        seconds=sum(one.seconds for one in runs),
        cpu_seconds=sum(one.cpu_seconds for one in runs),
        read_gb=sum(one.read_gb for one in runs),
        written_gb=sum(one.written_gb for one in runs),
        peak_gb=max(one.peak_gb for one in runs),
    )


def compare(bench: Bench, cold: bool, repeats: int) -> dict[str, Measured]:
    """Every variant `repeats` times, in turns."""
    runs: dict[str, list[Measured]] = {name: [] for name in VARIANTS}
    for _ in range(repeats):
        for name, variant in VARIANTS.items():
            if cold:
                forget(bench.window)
                forget(bench.packed)
            runs[name].append(total(variant(bench)))
    return {name: median(found) for name, found in runs.items()}


def show(console: Console, title: str, measured: dict[str, Measured]) -> None:
    names = ("seconds", "CPU s", "read GB", "written GB", "peak GB", "x read", "x faster")
    table = Table("", *names, title=title)
    read, published = measured["plain read"], measured["published procedure"]
    for name, one in measured.items():
        figures = (one.seconds, one.cpu_seconds, one.read_gb, one.written_gb, one.peak_gb)
        ratios = (one.seconds / read.seconds, published.seconds / one.seconds)
        table.add_row(name, *(f"{value:.2f}" for value in (*figures, *ratios)))
    console.print(table)
    for name in ("relex, dense folders", "relex, window of deltas"):
        above_gb = measured[name].peak_gb - measured["import torch"].peak_gb
        console.print(f"{name}: peak memory {above_gb:.2f} GB above importing torch")
    three, one = measured["relex, dense folders"], measured["relex, one target"]
    seconds = (three.seconds - one.seconds) / (len(TARGETS) - 1)
    console.print(
        f"each further target: {seconds:.2f} s; writing one: {measured['write'].seconds:.2f} s"
    )


@dataclass(frozen=True)
class Cost:
    """What a fit of one size takes, in CPU seconds without the import of torch."""

    size: float
    dense: float
    sparse: float


def scaling(console: Console, work: Path, bench: Bench, repeats: int) -> None:
    """Cost over steps and over parameters, with files in the cache."""
    start = median([bench.torch()[0] for _ in range(repeats)]).cpu_seconds

    def measure(window: Bench, size: float, *options: str) -> Cost:
        window.read()
        dense = median([window.dense(*options)[0] for _ in range(repeats)])
        sparse = median([window.sparse(*options)[0] for _ in range(repeats)])
        return Cost(size, dense.cpu_seconds - start, sparse.cpu_seconds - start)

    over_steps = [measure(bench, num, "--steps", f"1:{num}") for num in STEPS]
    over_parameters = []
    for num_layers in LAYERS:
        folder = work / f"layers_{num_layers}"
        small = Bench(folder / "window", folder)
        build_reference_window(small.window, num_layers=num_layers, num_steps=FEW_STEPS)
        small.pack()
        over_parameters.append(measure(small, num_elements(small.window) / 1e6))
        shutil.rmtree(folder)
    millions = num_elements(bench.window) / 1e6
    costs = {
        f"steps ({millions:.0f} M parameters)": over_steps,
        f"million parameters ({FEW_STEPS} steps)": over_parameters,
    }
    for title, found in costs.items():
        table = Table(title, "plain folders", "window of deltas", title="CPU seconds")
        for cost in found:
            table.add_row(f"{cost.size:.0f}", f"{cost.dense:.2f}", f"{cost.sparse:.2f}")
        console.print(table)
    plot_scaling(work / "scaling.png", costs)
    console.print(f"plot: {work / 'scaling.png'}")


def plot_scaling(path: Path, costs: dict[str, list[Cost]]) -> None:
    """A panel for each kind of size. Dashed: what the largest size costs, in proportion."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle("Cost of a fit with three targets")
    panels = figure.subplots(1, len(costs), sharey=True)
    for axes, (title, found) in zip(panels, costs.items(), strict=True):
        sizes = [cost.size for cost in found]
        for label, values in (
            ("plain folders", [cost.dense for cost in found]),
            ("window of deltas", [cost.sparse for cost in found]),
        ):
            (line,) = axes.plot(sizes, values, marker="o", label=label)
            axes.plot([0, sizes[-1]], [0, values[-1]], "--", color=line.get_color(), linewidth=0.8)
        axes.set(xlabel=title, xlim=0, ylim=0)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("CPU seconds")
    panels[0].legend()
    figure.savefig(path, dpi=150)


def num_elements(window: Path) -> float:
    return (window / "base" / WEIGHTS).stat().st_size / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=ROOT / ".relex" / "bench")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the window for the next time")
    options = parser.parse_args()
    bench = Bench(options.work / "window", options.work)
    console = Console(width=110)
    if not bench.window.is_dir():
        console.print("building the reference window (a minute or two)")
        build_reference_window(bench.window)
    console.print("packing it into a window of deltas")
    bench.pack()
    try:
        show(console, "Cold", compare(bench, True, options.repeats))
        show(console, "Warm", compare(bench, False, options.repeats))
        scaling(console, options.work, bench, options.repeats)
    finally:
        for name in (
            "ours",
            "written",
            "published",
            "deltas",
            "packed",
            *([] if options.keep else ["window"]),
        ):
            shutil.rmtree(options.work / name, ignore_errors=True)


if __name__ == "__main__":
    main()
