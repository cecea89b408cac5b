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

    def sparse(self) -> list[Measured]:
        """The same from the window of deltas."""
        return [run([*RELEX, *self._extrapolate(self.packed, TARGETS), "--device", "cpu"], ROOT)]

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


def scaling(console: Console, work: Path, bench: Bench, repeats: int) -> None:
    """Seconds over sizes, with files in the cache and without the import of torch."""
    start = median([bench.torch()[0] for _ in range(repeats)]).seconds
    table = Table("size", "seconds", "per 10^9 weights", title="Cost over sizes (warm)")

    def measure(label: str, window: Bench, num_steps: int, *options: str) -> tuple[float, float]:
        window.read()
        found = median([window.dense(*options)[0] for _ in range(repeats)])
        seconds, num_weights = found.seconds - start, num_elements(window.window) * num_steps
        table.add_row(label, f"{seconds:.2f}", f"{seconds / num_weights * 1e9:.2f}")
        return num_weights, seconds

    over_steps = [
        measure(f"12 layers, {num} steps", bench, num, "--steps", f"1:{num}") for num in STEPS
    ]
    over_layers = []
    for num_layers in LAYERS:
        small = Bench(work / f"layers_{num_layers}", work)
        build_reference_window(small.window, num_layers=num_layers, num_steps=8)
        over_layers.append(measure(f"{num_layers} layers, 8 steps", small, 8))
        shutil.rmtree(small.window)
    console.print(table)
    plot_scaling(work / "scaling.png", over_steps, over_layers)
    console.print(f"plot: {work / 'scaling.png'}")


def plot_scaling(
    path: Path, over_steps: list[tuple[float, float]], over_layers: list[tuple[float, float]]
) -> None:
    """Seconds over weights read; a straight line is linear cost."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, points in (("6 to 24 steps", over_steps), ("2 to 12 layers", over_layers)):
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set(xlabel="weights in the window (parameters x steps)", ylabel="seconds", ylim=0)
    axes.legend()
    figure.savefig(path)


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
