"""The study of the choice: `python tests/bench/study/study.py [ROOT] [--out docs]`.

Five toys, three learning rates, four seeds: each run is trained by the product's trainer on beyond
its window of 30 steps, and measured at a fixed set of points (`one.py`, `points.py`), from which
every rule of choice is then replayed on drawn answers (`choice.py`). Seed 0 chooses the rules and
lacks one toy, which no rule has seen; the others report. Writes `study.md`, `study.csv` and
`study.png` to `--out`. About three minutes a run on one core; every finished run is kept, so it can
be stopped and started again, and fewer runs make a smaller study. With `many.py` the runs are made
by many processes, or on another machine.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from choice import (
    ANSWERS,
    BOTH,
    GRID,
    NUM_DRAWS,
    SAMPLES,
    Choice,
    Run,
    choose,
    choose_by_window,
    made_by,
)
from csv_table import write_table
from many import run_many
from one import record_path
from page import study_page
from picture import study_picture
from record import read_record
from setting import HELD_OUT, REPORT_SEEDS, TUNING_SEED, settings
from summary import best_constant
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
        for task in (*TASKS, HELD_OUT):
            build_task(task, root / task)
        wanted = settings((*REPORT_SEEDS, TUNING_SEED))
        run_many(wanted, root, arguments.processes, float("inf"), None)
    out.mkdir(parents=True, exist_ok=True)
    write_study(read_runs(root, REPORT_SEEDS), read_runs(root, (TUNING_SEED,)), out)


def read_runs(root: Path, seeds: Sequence[int]) -> list[Run]:
    """The runs of every seed of which all have a record, so that no toy or rate counts for more
    than another; a record may lack later steps of the real training."""
    runs = []
    for seed in seeds:
        paths = [record_path(setting, root) for setting in settings((seed,))]
        if all(path.exists() for path in paths):
            runs += [Run(read_record(path)) for path in paths]
    return runs


def write_study(runs: Sequence[Run], tuning: Sequence[Run], out: Path) -> None:
    window_key = best_constant(tuning, knows_no_answers)
    choices = {run.record.name: choices_of(run, window_key) for run in runs}
    first = {name: made_by(made, ANSWERS, SAMPLES[0])[0] for name, made in choices.items()}
    seen = [run for run in runs if run.task != HELD_OUT]
    unseen = [run for run in runs if run.task == HELD_OUT]
    (out / "study.md").write_text(study_page(seen, tuning, unseen, choices, window_key))
    (out / "study.png").write_bytes(study_picture(runs, first))
    write_table(out / "study.csv", runs, choices)


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


if __name__ == "__main__":
    main()
