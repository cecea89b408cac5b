"""The study as a table for machines: a line for each run."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from choice import ANSWERS, BOTH, COMPLETIONS_PER_STEP, GRID, SAMPLES, WINDOW, Choice, Run, made_by
from setting import WINDOW_STEPS
from summary import base, best, last, on_line, on_secant, steps_to_reach, trained_steps

from relex.candidates import Candidate

HEATS = ("sampled", "cooler", "greedy")
RULES = ((WINDOW, 0), *((rule, n) for n in SAMPLES for rule in (GRID, ANSWERS, BOTH)))


def write_table(path: Path, runs: Sequence[Run], choices: Mapping[str, Sequence[Choice]]) -> None:
    """Exact accuracies on the test questions, real steps to them (`>`: where training ended before
    it had them), and tokens."""
    rows = [_row(run, choices[run.record.name]) for run in runs]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(run: Run, choices: Sequence[Choice]) -> dict[str, str]:
    end = trained_steps(run)[-1]
    lengths = run.record.facts["completion_tokens"][:WINDOW_STEPS]
    row = {
        "run": run.record.name,
        **{f"base_{name}": f"{base(run, heat):.4f}" for heat, name in enumerate(HEATS)},
        **{f"last_{name}": f"{last(run, heat):.4f}" for heat, name in enumerate(HEATS)},
        "trained_to": str(end),
        "trained": f"{run.record.accuracy(Candidate(step=end).key):.4f}",
        "training_tokens": f"{COMPLETIONS_PER_STEP * sum(lengths):.0f}",
    }
    bests = {"line": best(run, on_line), "secant": best(run, on_secant), "any": best(run)}
    for name, found in bests.items():
        row |= {
            f"best_{name}": f"{found.accuracy:.4f}",
            f"best_{name}_point": found.key,
            f"best_{name}_real_steps": _steps(run, found.accuracy),
        }
    for rule, num_samples in RULES:
        made, name = made_by(choices, rule, num_samples), f"{rule}_{num_samples}"
        accuracy = float(np.mean([choice.accuracies[0] for choice in made]))
        num_answers = float(np.mean([choice.num_answers for choice in made]))
        row |= {
            f"{name}": f"{accuracy:.4f}",
            f"{name}_real_steps": _steps(run, accuracy),
            f"{name}_tokens": f"{num_answers * np.mean(lengths[-5:]):.0f}",
        }
    return row


def _steps(run: Run, accuracy: float) -> str:
    reached = steps_to_reach(run, accuracy)
    return f"{reached:.0f}" if np.isfinite(reached) else f">{trained_steps(run)[-1]}"
