"""The goals that were set before the study, and what real training would have taken."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from choice import ANSWERS, SAMPLES, Choice, Run, made_by
from setting import LONG_SEED, WINDOW_STEPS, show_rate
from summary import (
    GAINABLE,
    Worth,
    best,
    can_gain,
    on_line,
    on_secant,
    steps_to_reach,
    summarise,
    trained_steps,
    worth,
)
from tables import table

Choices = Mapping[str, Sequence[Choice]]


def goals(runs: Sequence[Run], choices: Choices) -> str:
    """The goals that were set before, met or not."""
    today = summarise(pairs_of(runs, choices, ANSWERS, 16))
    every = [
        choice for run in runs for choice in choices[run.record.name] if choice.rule == ANSWERS
    ]
    num_worse = sum(choice.is_clearly_worse for choice in every)
    rows = [
        (
            "mean gain over the last step at least twice the best line's",
            f"{today.gain:.1f} points, the line's {today.gain_of_line:.1f} "
            f"({today.gain / (today.gain_of_line or math.nan):.1f} x)",
            today.gain >= 2 * today.gain_of_line,
        ),
        *(_worth_goal(runs, choices, num_samples) for num_samples in SAMPLES),
        (
            "never clearly worse than the last step",
            f"{num_worse} of {len(every)} choices",
            num_worse == 0,
        ),
        (
            "regret to the best of all points at most 1.5 points",
            f"{today.regret:.1f} points with 16 samples, "
            f"{summarise(pairs_of(runs, choices, ANSWERS, 4)).regret:.1f} with 4",
            today.regret <= 1.5,
        ),
    ]
    return table(
        ("goal", "found", ""),
        [(goal, seen, "met" if met else "missed") for goal, seen, met in rows],
    ) + (
        "\nBy the product's search, on the runs in which the best of all points is more than "
        f"{100 * GAINABLE:.0f} point above the last step ({sum(map(can_gain, runs))} of "
        f"{len(runs)}) for the first line. What training had not reached where it ended counts as "
        "that step, so factors are lower bounds.\n"
    )


def _worth_goal(runs: Sequence[Run], choices: Choices, num_samples: int) -> tuple[str, str, bool]:
    low = [run for run in runs if run.seed == LONG_SEED and run.learning_rate < 1e-4]
    factors = [_middle(run, choices, num_samples).factor for run in low] or [math.nan]
    return (
        "worth at least 4 x the trained steps at the two lower rates, search included, "
        f"{num_samples} samples",
        f"median at least {np.median(factors):.1f} x, from {min(factors):.1f} to "
        f"{max(factors):.1f} x; 4 x or more shown in {sum(f >= 4 for f in factors)} of "
        f"{len(low)} runs",
        bool(np.median(factors) >= 4),
    )


def _middle(run: Run, choices: Choices, num_samples: int) -> Worth:
    """Of the median choice."""
    found = [worth(run, c) for c in made_by(choices[run.record.name], ANSWERS, num_samples)]
    return sorted(found, key=lambda each: each.factor)[len(found) // 2]


def saved_table(runs: Sequence[Run], choices: Choices) -> str:
    head = (
        *("toy", "rate", "to the best line", "to the best secant"),
        *("to the chosen, 16 samples", "spent", "worth", "to the chosen, 4", "spent", "worth"),
    )
    rows = []
    for run in (run for run in runs if run.seed == LONG_SEED):
        row = [run.task, show_rate(run.learning_rate)]
        row += [
            _steps(run, steps_to_reach(run, best(run, where).accuracy))
            for where in (on_line, on_secant)
        ]
        for num_samples in SAMPLES:
            middle = _middle(run, choices, num_samples)
            row += [
                f"{'> ' if middle.is_bound else ''}{middle.real_steps:.0f}",
                f"{middle.spent_steps:.0f}",
                f"{'> ' if middle.is_bound else ''}{middle.factor:.1f} x",
            ]
        rows.append(row)
    return table(head, rows) + (
        f"\nSteps at which real training first has an accuracy, measured every five, in the runs "
        f"of seed {LONG_SEED}, which were trained on for longest; `>`: not where it ended. "
        f"*Spent*: the {WINDOW_STEPS} trained steps and the search, as steps of training by "
        "generated tokens; the median choice. What a second round adds is "
        "[told apart](rounds.md#what-was-measured).\n"
    )


def _steps(run: Run, reached: float) -> str:
    return f"{reached:.0f}" if np.isfinite(reached) else f"> {trained_steps(run)[-1]}"


def pairs_of(
    runs: Sequence[Run], choices: Choices, rule: str, num_samples: int
) -> list[tuple[Run, Choice]]:
    return [
        (run, choice)
        for run in runs
        for choice in made_by(choices[run.record.name], rule, num_samples)
    ]
