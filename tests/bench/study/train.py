"""Trains the runs of the study one after the other; runs that are done are kept.

`python tests/bench/study/train.py ROOT [--task addition]`, about three minutes a run on one core.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from toys import TASKS as BUILT
from trajectory import CONTINUED_STEPS, Setting, Trajectory

TASKS = ("addition", *BUILT)
NUM_SEEDS = 5


def settings(tasks: Sequence[str] = TASKS) -> list[Setting]:
    """All runs, whole sets of tasks and rates seed by seed, so that a part is a smaller study."""
    return [
        Setting(task, rate, seed)
        for seed in range(NUM_SEEDS)
        for task in tasks
        for rate in CONTINUED_STEPS
    ]


def train_missing(root: Path, tasks: Sequence[str] = TASKS) -> None:
    """Train what is not there yet, one run after the other."""
    for setting in settings(tasks):
        run = Trajectory(setting, root)
        if not run.is_done:
            print(f"training {setting.name}", file=sys.stderr, flush=True)
            run.train(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--task", choices=TASKS, action="append", help="only this toy")
    arguments = parser.parse_args()
    train_missing(arguments.root.resolve(), arguments.task or TASKS)


if __name__ == "__main__":
    main()
