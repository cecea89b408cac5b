"""The study of the choice: `python tests/bench/study/study.py [ROOT] [--out docs]`.

Four toys, three learning rates, five seeds: train each run on beyond its window of 30 steps, fit
the window, and let the product's rule and search choose on drawn answers, many times, with all 13
targets of the grid and with `targets: auto`. Writes `study.md`, `study.csv` and `study.png` to
`--out`. About four hours on two cores; every finished run is kept, so it can be stopped and started
again, and fewer runs make a smaller study.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from choice import Choice, choose, made_by
from picture import study_picture
from summary import RunResult, result_of
from table import study_page
from toys import TASKS, build_task
from train import settings, train_missing
from trajectory import Trajectory

MODES = ("grid", "auto")
NUM_SAMPLES = (16, 4)
NUM_DRAWS = 10
ROOT = Path(".relex/bench/study")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, help="runs that are kept")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder for table and picture")
    parser.add_argument("--as-is", action="store_true", help="only the runs that are there")
    arguments = parser.parse_args()
    root, out = arguments.root.resolve(), arguments.out
    if not arguments.as_is:
        for task in TASKS:
            build_task(task, root / task)
        train_missing(root)
    out.mkdir(parents=True, exist_ok=True)
    write_study([run for run in map_runs(root) if run.is_done], out)


def map_runs(root: Path) -> list[Trajectory]:
    return [Trajectory(setting, root) for setting in settings()]


def write_study(runs: Sequence[Trajectory], out: Path) -> None:
    results: dict[str, RunResult] = {}
    choices: dict[str, list[Choice]] = {}
    for run in runs:
        name = run.setting.name
        results[name] = result_of(run)
        choices[name] = [
            choose(run, mode, num_samples, draw)
            for mode in MODES
            for num_samples in NUM_SAMPLES
            for draw in range(NUM_DRAWS)
        ]
        run.save()
        print(name, {mode: _first(choices[name], mode).chosen.key for mode in MODES}, flush=True)
    first = {name: _first(made, "auto") for name, made in choices.items()}
    (out / "study.png").write_bytes(study_picture(runs, first))
    (out / "study.md").write_text(study_page(runs, results, choices))
    _write_csv(out / "study.csv", results, choices)
    for run in runs:
        run.save()


def _first(choices: Sequence[Choice], mode: str) -> Choice:
    return next(choice for choice in choices if choice.mode == mode)


def _write_csv(path: Path, results: dict[str, RunResult], choices: dict[str, list[Choice]]) -> None:
    """One line per run: its exact accuracies, its signals, and its mean choices."""
    rows = []
    for name, result in results.items():
        row = {key: _short(value) for key, value in asdict(result).items()}
        for mode in MODES:
            for num_samples in NUM_SAMPLES:
                made = made_by(choices[name], mode, num_samples)
                mean = sum(choice.accuracy for choice in made) / len(made)
                row[f"chosen_{mode}_{num_samples}"] = _short(mean)
        rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
