"""What two rounds came to, as the tables of docs/rounds.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from choice import Run
from one import record_path
from record import read_record
from setting import Setting, show_rate
from summary import search_steps, steps_to_reach, trained_steps
from tables import table

from relex.candidates import Candidate, parse_candidate
from relex.storage.atomic import write_atomic

FIRST, WHOLE = "first", "whole"
KEPT, RESET, RESET_MOVED = WAYS = ("kept", "reset", "reset_moved")


@dataclass(frozen=True)
class Chosen:
    """One choice, measured exactly on the test questions."""

    key: str
    accuracy: float
    num_answers: int
    """To validation questions, that were drawn for it."""


@dataclass(frozen=True)
class Measures:
    """What a round, or the first steps of one, came to."""

    trained: Mapping[int, float]
    """Accuracy by trained step, ascending."""

    chosen: Sequence[Chosen]
    """By draw of the answers."""

    @property
    def jump(self) -> Candidate:
        """From which the next round begins."""
        return parse_candidate(self.chosen[0].key)

    @property
    def num_steps(self) -> int:
        return max(self.trained)

    @property
    def last(self) -> float:
        return self.trained[self.num_steps]

    @property
    def accuracy(self) -> float:
        """Of the choice, over the draws."""
        return float(np.mean([each.accuracy for each in self.chosen]))

    @property
    def spent_steps(self) -> float:
        """Trained steps and the search, in steps of training."""
        answers = float(np.mean([each.num_answers for each in self.chosen]))
        return self.num_steps + search_steps(answers)


Paths = Mapping[str, Measures]
"""Of one run: `FIRST` and `WHOLE` round, and the second one by what became of the moments; without
a jump they are kept, and where all tensors jumped `RESET_MOVED` is `RESET`."""


def path_file(setting: Setting, root: Path) -> Path:
    return root / "rounds" / f"{setting.name}.json"


def write_paths(paths: Paths, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {name: asdict(measures) for name, measures in paths.items()}
    write_atomic(file, json.dumps(content, indent=1).encode())


def read_paths(file: Path) -> dict[str, Measures]:
    content = json.loads(file.read_text())
    return {
        name: Measures(
            trained={int(step): accuracy for step, accuracy in each["trained"].items()},
            chosen=[Chosen(**one) for one in each["chosen"]],
        )
        for name, each in content.items()
    }


def moments_table(runs: Mapping[Setting, Paths]) -> str:
    """Where the second round goes from a jump, by what became of the moments."""
    rows = []
    for setting, paths in runs.items():
        if RESET not in paths:
            continue
        first, ways = paths[FIRST], [paths.get(way, paths[RESET]) for way in WAYS]
        began = [f"{first.last:.3f}", f"`{first.jump.key}`", f"{first.chosen[0].accuracy:.3f}"]
        rows.append([*_names(setting), *began, *map(_words, ways)])
    return table(("toy", "rate", "trained", "jump", "to", *WAYS), rows)


def _words(second: Measures) -> str:
    """After the first steps and after all of them, and what was chosen then."""
    return (
        f"{second.trained[min(second.trained)]:.3f}, {second.last:.3f}, **{second.accuracy:.3f}**"
    )


def worth_table(runs: Mapping[Setting, Paths], way: str, root: Path) -> str:
    """Two rounds beside one, against real training where it is known."""
    rows, head = [], ["toy", "rate"]
    for setting, paths in runs.items():
        one, whole, second = paths[FIRST], paths[WHOLE], paths.get(way, paths[KEPT])
        worth = partial(_worth, Run(read_record(record_path(setting, root))))
        row = [
            *worth(one.accuracy, one.spent_steps),
            f"{whole.last:.3f}",
            *worth(whole.accuracy, whole.spent_steps),
            *worth(second.accuracy, one.spent_steps + second.spent_steps),
        ]
        rows.append([*_names(setting), *row])
        head[2:] = [f"one round of {one.num_steps}", "worth", f"trained to {whole.num_steps}"]
        head[5:] = [f"one of {whole.num_steps}", "worth", f"two of {one.num_steps}", "worth"]
    return table(head, rows)


def _worth(run: Run, accuracy: float, spent_steps: float) -> tuple[str, str]:
    reached, end = steps_to_reach(run, accuracy, since=0), trained_steps(run)[-1]
    more, steps = "" if np.isfinite(reached) else "> ", min(reached, end)
    worth = f"{more}{steps:.0f} / {spent_steps:.0f} = {more}{steps / spent_steps:.1f} x"
    return f"{accuracy:.3f}", worth


def _names(setting: Setting) -> tuple[str, str]:
    return setting.task, show_rate(setting.learning_rate)
