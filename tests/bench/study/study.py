"""The study of the choice: `python tests/bench/study/study.py [ROOT] [--out docs]`.

Four toys, three learning rates, four seeds: each run is trained by the product's trainer on beyond
its window of 30 steps, and measured at a fixed set of points (`one.py`, `points.py`), from which
every rule of choice is then replayed on drawn answers (`choice.py`). Seed 0 chooses the rules, the
others report. Writes `study.md`, `study.csv` and `study.png` to `--out`. About three minutes a run
on one core; every finished run is kept, so it can be stopped and started again, and fewer runs make
a smaller study. With `many.py` the runs are made by many processes, or on another machine.
"""

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

from choice import (
    ANSWERS,
    BOTH,
    GRID,
    NUM_DRAWS,
    SAMPLES,
    WINDOW,
    Choice,
    Run,
    choose,
    choose_by_window,
    made_by,
)
from many import run_many
from one import record_path
from page import study_page
from picture import study_picture
from record import read_record
from setting import REPORT_SEEDS, TUNING_SEED, settings
from summary import base, best, best_constant, last, on_line, on_secant, trained_steps
from toys import TASKS, build_task

from relex.candidates import Candidate

ROOT = Path(".relex/bench/study")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, help="runs that are kept")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder for table and picture")
    parser.add_argument("--as-is", action="store_true", help="only the runs that are there")
    parser.add_argument("--processes", type=int, default=max((os.cpu_count() or 1) - 1, 1))
    arguments = parser.parse_args()
    root, out = arguments.root.resolve(), arguments.out
    if not arguments.as_is:
        for task in TASKS:
            build_task(task, root / task)
        wanted = settings((*REPORT_SEEDS, TUNING_SEED))
        run_many(wanted, root, arguments.processes, float("inf"), None)
    out.mkdir(parents=True, exist_ok=True)
    write_study(read_runs(root, REPORT_SEEDS), read_runs(root, (TUNING_SEED,)), out)


def read_runs(root: Path, seeds: Sequence[int]) -> list[Run]:
    """The runs that have a record; it may lack later steps of the real training."""
    paths = [record_path(setting, root) for setting in settings(seeds)]
    return [Run(read_record(path)) for path in paths if path.exists()]


def write_study(runs: Sequence[Run], tuning: Sequence[Run], out: Path) -> None:
    window_key = best_constant(tuning, knows_no_answers)
    choices = {run.record.name: choices_of(run, window_key) for run in runs}
    first = {name: made_by(made, ANSWERS, SAMPLES[0])[0] for name, made in choices.items()}
    (out / "study.md").write_text(study_page(runs, tuning, choices, window_key))
    (out / "study.png").write_bytes(study_picture(runs, first))
    _write_csv(out / "study.csv", runs, choices)


def knows_no_answers(point: Candidate) -> bool:
    """Whether the window alone says what moves: by the trust in every tensor."""
    return point.method.startswith(("tried:trusted-", "tried:skilled-"))


def choices_of(run: Run, window_key: str) -> list[Choice]:
    made = [choose_by_window(run, window_key)]
    for num_samples in SAMPLES:
        for rule in (GRID, ANSWERS, BOTH):
            made += [choose(run, rule, num_samples, draw) for draw in range(NUM_DRAWS)]
    print(run.record.name, made_by(made, ANSWERS, SAMPLES[0])[0].chosen, flush=True)
    return made


def _write_csv(path: Path, runs: Sequence[Run], choices: dict[str, list[Choice]]) -> None:
    """One line per run: its exact accuracies on the test questions, and its mean choices."""
    rows = []
    for run in runs:
        made, end = choices[run.record.name], trained_steps(run)[-1]
        row: dict[str, object] = {
            "run": run.record.name,
            **{f"base_{name}": base(run, heat) for heat, name in enumerate(HEATS)},
            **{f"last_{name}": last(run, heat) for heat, name in enumerate(HEATS)},
            "trained_to": end,
            "trained": run.record.accuracy(Candidate(step=end).key),
            "training_tokens": 1024 * sum(run.record.facts["completion_tokens"][:30]),
        }
        for name, found in (
            ("line", best(run, on_line)),
            ("secant", best(run, on_secant)),
            ("any", best(run)),
        ):
            row |= {f"best_{name}": found.accuracy, f"best_{name}_point": found.key}
        for rule, num_samples in [(WINDOW, 0), *((r, n) for n in SAMPLES for r in RULES)]:
            mine = made_by(made, rule, num_samples)
            name = f"{rule}_{num_samples}"
            row[f"chosen_{name}"] = sum(choice.accuracies[0] for choice in mine) / len(mine)
            row[f"answers_{name}"] = sum(choice.num_answers for choice in mine) / len(mine)
        rows.append({key: _short(value) for key, value in row.items()})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


HEATS = ("sampled", "cooler", "greedy")
RULES = (GRID, ANSWERS, BOTH)

if __name__ == "__main__":
    main()
