"""The study as a page of Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np
from choice import Choice, grid, made_by
from summary import (
    SIGNALS,
    ModeResult,
    RunResult,
    correlations,
    mean_interval,
    steps_to_reach,
    summarise,
)
from trajectory import WINDOW_STEPS, Trajectory, show_rate

from relex.run.conclude import LEAST_SKILL

Choices = Mapping[str, Sequence[Choice]]
NUM_FIXED = 4
"""Base and three observed steps, which a full grid measures beside its targets."""

INTRODUCTION = """# A study of the choice

`make study` makes this page, `study.csv` and the picture. Four toys, three learning rates, {seeds}
seeds: {runs} runs of GRPO. Each is trained on beyond its window of 30 steps, so that one can see
what more training would have given. `addition` is the toy of the README, where training mostly
changes the choice of the first token. `reversal` asks for a number written backwards, where every
token of an answer must be right; in `upside` the last digit is one too high in 55 % of the base's
answers, so greedy answers are wrong and the task has to be learnt; `chain` asks for the sums on the
way to a sum of four numbers. All have one right answer per question, so accuracies are exact:
the chance of the right answer from the model's probabilities, over 200 test questions, without the
noise of sampling. Choices are made as the product makes them, on sampled answers to 200 validation
questions, {draws} times per run with new samples.

![Accuracy of real training, of rank-1 targets, and of the choice](study.png)
"""


SIGNALS_NOTE = """
Spearman's rank correlation over the runs between a number of the fit and what the best target adds
to step 30, with a 95 % bootstrap interval over the runs. Most of it is the learning rate, which
moves both; runs of one rate differ little here.
"""


def study_page(
    runs: Sequence[Trajectory], results: Mapping[str, RunResult], choices: Choices
) -> str:
    seeds = {result.seed for result in results.values()}
    draws = {choice.draw for made in choices.values() for choice in made}
    parts = [
        INTRODUCTION.format(seeds=len(seeds), runs=len(results), draws=len(draws)),
        "## What was chosen\n\n" + _rates_table(results, choices),
        "## How good the choice is\n\n" + _modes_table(results, choices),
        "## Training saved\n\n" + _saved_table(runs, results, choices),
        "## What predicts the gain\n\n" + _signals_table(list(results.values())),
    ]
    return "\n".join(parts)


def _rates_table(results: Mapping[str, RunResult], choices: Choices) -> str:
    """One row per task and rate: means over the seeds with their spread."""
    rows = []
    for (task, rate), names in _groups(results).items():
        group = [results[name] for name in names]
        auto = [_mean_accuracy(choices[name], "auto", 16) for name in names]
        listed = [_mean_accuracy(choices[name], "grid", 16) for name in names]
        kept = [_kept(choice) for name in names for choice in made_by(choices[name], "auto", 16)]
        rows.append(
            [
                task,
                show_rate(rate),
                _mean([result.last_observed for result in group]),
                _mean(auto),
                _mean(listed),
                _mean([result.grid_oracle for result in group]),
                _mean([result.oracle for result in group]),
                f"{_mean([r.continued for r in group])} ({group[0].continued_steps})",
                f"{np.mean(kept):.0%}",
            ]
        )
    head = (
        "toy",
        "rate",
        "step 30",
        "chosen, `auto`",
        "chosen, full grid",
        "best target",
        "best of all kinds",
        "really trained to",
        "step 30 kept",
    )
    return _table(head, rows) + (
        "\nMean test accuracy over the seeds ± their standard deviation, with 16 samples per "
        "validation question. *Best target* is an oracle that knows the test accuracy of all 13 "
        "targets and the observed steps; *best of all kinds* also of secants, of all tensors and "
        "of parts. In brackets the step that was really trained to.\n"
    )


def _modes_table(results: Mapping[str, RunResult], choices: Choices) -> str:
    found = [
        summarise(
            [
                (results[name], choice)
                for name, made in choices.items()
                for choice in made_by(made, mode, num_samples)
            ],
            (len(grid()) + NUM_FIXED) * 200 * num_samples,
        )
        for num_samples in (16, 4)
        for mode in ("grid", "auto")
    ]
    head = (
        "mode",
        "samples per question",
        "choices",
        "mean regret",
        "to all kinds",
        "worst regret",
        "clearly worse than step 30",
        "got 80 % of a large gain",
        "answers",
    )
    return _table(head, [_mode_row(each) for each in found]) + (
        "\nRegret is in points of accuracy below the best target of the grid (below zero: better "
        "than it, as `auto` also tries other kinds). *Clearly worse*: a paired t statistic over "
        "the test questions beyond 95 %. *Large*: where the grid could add more than 3 points. "
        "*Answers* are those to validation questions, over the full grid's.\n"
    )


def _mode_row(found: ModeResult) -> list[str]:
    return [
        f"`{found.mode}`",
        str(found.num_samples),
        str(found.num_choices),
        f"{found.mean_regret:.2f}",
        f"{found.mean_full_regret:.2f}",
        f"{found.worst_regret:.1f}",
        f"{found.clearly_worse_fraction:.1%}",
        f"{found.captured_fraction:.0%} of {found.num_large}",
        f"{found.answer_fraction:.0%}",
    ]


def _saved_table(
    runs: Sequence[Trajectory], results: Mapping[str, RunResult], choices: Choices
) -> str:
    by_name = {run.setting.name: run for run in runs}
    rows = []
    for (task, rate), names in _groups(results).items():
        reached = [
            np.median(
                [
                    steps_to_reach(by_name[name], choice.accuracy)
                    for choice in made_by(choices[name], "auto", 16)
                ]
            )
            for name in names
        ]
        end = results[names[0]].continued_steps
        rows.append([task, show_rate(rate), *_saved(reached, end)])
    head = ("toy", "rate", "real steps to the chosen accuracy, by seed", "saved, mean [95 %]")
    return _table(head, rows) + (
        f"\nThe step at which real training first has the chosen one's test accuracy (median over "
        f"the draws), and what that saves beyond the {WINDOW_STEPS} that were trained. A `>` was "
        "not reached where training ended; it counts as that many, so the mean is a lower bound.\n"
    )


def _saved(reached: Sequence[float], end: int) -> list[str]:
    shown = ", ".join(
        f"{step:.0f}" if np.isfinite(step) else f"> {end}" for step in sorted(reached)
    )
    is_bound = not np.all(np.isfinite(reached))
    mean, low, high = mean_interval([min(step, end) - WINDOW_STEPS for step in reached])
    return [shown, f"{'≥ ' if is_bound else ''}{mean:.0f} [{low:.0f}, {high:.0f}] steps"]


def _signals_table(results: Sequence[RunResult]) -> str:
    found = correlations(results)
    tasks = list(dict.fromkeys(each.task for each in found))
    rows = [
        [signal.replace("_", " ")]
        + [
            f"{each.value:+.2f} [{each.low:+.2f}, {each.high:+.2f}]"
            for task in tasks
            for each in found
            if (each.signal, each.task) == (signal, task)
        ]
        for signal in SIGNALS
    ]
    table = _table(["of the window", *tasks], rows)
    return table + SIGNALS_NOTE + _skill_sentence(results)


def _skill_sentence(results: Sequence[RunResult]) -> str:
    """Which number also tells where zero is."""
    bad = [result for result in results if result.forecast_skill < LEAST_SKILL]
    good = [result for result in results if result.forecast_skill >= LEAST_SKILL]
    if not bad or not good:
        return ""
    return (
        f"\nForecast skill also says where zero is: below {LEAST_SKILL} ({len(bad)} runs) the best "
        f"target adds {_points(bad)} points, above it ({len(good)} runs) {_points(good)}. "
        f"Explained fraction ({min(r.explained_fraction for r in results):.2f} or more) and R2 "
        f"({min(r.r2 for r in results):.3f} or more) are high in all of them.\n"
    )


def _points(results: Sequence[RunResult]) -> str:
    gains = [100 * result.gain for result in results]
    return f"{min(gains):.1f} to {max(gains):.1f}"


def _groups(results: Mapping[str, RunResult]) -> dict[tuple[str, float], list[str]]:
    groups: dict[tuple[str, float], list[str]] = {}
    for name, result in results.items():
        groups.setdefault((result.task, result.learning_rate), []).append(name)
    return dict(sorted(groups.items()))


def _mean_accuracy(choices: Sequence[Choice], mode: str, num_samples: int) -> float:
    return float(np.mean([choice.accuracy for choice in made_by(choices, mode, num_samples)]))


def _kept(choice: Choice) -> bool:
    return choice.chosen.is_observed and choice.chosen.step == WINDOW_STEPS


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
