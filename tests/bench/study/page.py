"""The study as a page of Markdown."""

from collections.abc import Sequence

import numpy as np
from choice import ANSWERS, BOTH, GRID, NUM_DRAWS, SAMPLES, WINDOW, Run, made_by
from goals import Choices, goals, pairs_of, saved_table
from setting import TASKS, WINDOW_STEPS, show_rate
from summary import (
    RuleResult,
    base,
    best,
    forecast_skill,
    last,
    on_line,
    on_secant,
    summarise,
    trained_steps,
)
from tables import finding_3, precisions, profile, table, tried

from relex.run.conclude import LEAST_SKILL

Numbers = Sequence[float]

INTRODUCTION = """# A study of the choice

`make study` makes this page, `study.csv` and the picture, in four to five hours of one core: it
goes on where it was stopped, and a part of its runs makes a smaller study. It needs no GPU, no
server and no network. {num_runs} runs of GRPO by the product's trainer are reported here: four
toys, three learning rates, {num_seeds} seeds, windows of {window} steps, `rounded` snapshots. The
rules were chosen on {num_tuning} other runs (seed 0), which report nothing. A fifth toy, `code`,
was added when all rules were fixed; its runs have [a section of their
own](#a-task-that-no-rule-has-seen).

`addition` and `reversal` (a number written backwards) are solved by their base when it answers
greedily: training sharpens it. `upside` is a reversal whose last digit the base gets wrong in 55 %
of its answers, so greedy answers are wrong and the task has to be learnt; `chain` asks for the sums
on the way to a sum of four numbers, and 30 steps do not saturate it. All have one right answer per
question, so accuracies are exact: the chance of the right answer from the model's probabilities,
over 200 test questions, without the noise of sampling. Choices are made as the product makes them,
on sampled answers to 200 validation questions, {draws} times per run with new samples.

![Accuracy of real training, of the line and the secant, and of the choice](study.png)
"""

UNSEEN = """## A task that no rule has seen

`code` asks for a linear function as a line of Python, which is run against tests in the sandbox
while it trains; its base is right when it answers greedily. Of 800 sampled answers of the base none
was right in another way than the one that counts here. The same tables as above, over its runs.
"""


def study_page(
    runs: Sequence[Run],
    tuning: Sequence[Run],
    unseen: Sequence[Run],
    choices: Choices,
    window_key: str,
) -> str:
    parts = [
        INTRODUCTION.format(
            num_runs=len(runs),
            num_seeds=len({run.seed for run in runs}),
            num_tuning=len(tuning),
            window=WINDOW_STEPS,
            draws=NUM_DRAWS,
        ),
        "## What was asked\n\n" + goals(runs, choices),
        "## What was reached\n\n" + _reached_table(runs, choices, window_key),
        "## The rules\n\n" + _rules_table(runs, choices, window_key),
        "## Sharpness\n\n" + _sharpness_table(runs, choices),
        "## Training saved\n\n" + saved_table(runs, choices),
        "## Which part\n\n" + profile(runs),
        "## Higher rank and curves\n\n" + finding_3(runs),
        "## Tried, and not worth it\n\n" + tried(runs),
        "## Precision of the snapshots\n\n" + precisions(runs),
        "## What forecast skill says\n\n" + _skill_sentence(runs),
        *(_unseen_parts(unseen, choices, window_key) if unseen else []),
    ]
    return "\n".join(parts)


def _reached_table(runs: Sequence[Run], choices: Choices, window_key: str) -> str:
    head = (
        *("toy", "rate", "base", "last step", "best line", "best secant, all", "by the window"),
        *("by answers", "by both", "best of all", "really trained to"),
    )
    rows = []
    for (task, rate), group in _groups(runs).items():
        rows.append(
            [
                task,
                show_rate(rate),
                _mean([base(run) for run in group]),
                _spread([last(run) for run in group]),
                _spread([best(run, on_line).accuracy for run in group]),
                _spread([best(run, on_secant).accuracy for run in group]),
                _spread([run.record.accuracy(window_key) for run in group]),
                _spread([_chosen(run, choices, ANSWERS) for run in group], bold=True),
                _spread([_chosen(run, choices, BOTH) for run in group]),
                _spread([best(run).accuracy for run in group]),
                _ends(group),
            ]
        )
    return table(head, rows) + (
        "\nMean test accuracy at temperature 1 over the seeds ± their standard deviation; choices "
        "with 16 samples per validation question. *Best line*, *best secant* and *best of all* are "
        f"read off the test questions. *By the window*: `{window_key}`, the point of its kind that "
        "was best on the tuning half, without asking an answer. *By answers*: the product's "
        "search. *By both*: that search along one part, the half of the layers whose MLPs kept "
        "their direction best in the window.\n"
    )


def _ends(group: Sequence[Run]) -> str:
    """What the longest real training reached."""
    longest = max(group, key=lambda run: trained_steps(run)[-1])
    end = trained_steps(longest)[-1]
    return f"{longest.record.accuracy(f'observed-{end}'):.3f} ({end})"


def _rules_table(runs: Sequence[Run], choices: Choices, window_key: str) -> str:
    head = (
        *("rule", "samples", "choices", "gain over the last step", "the best line's"),
        *("regret to the best of all", "worst", "clearly worse", "answers", "in steps of training"),
    )
    rows = []
    rules = [(WINDOW, 0), *((rule, n) for n in SAMPLES for rule in (GRID, ANSWERS, BOTH))]
    words = {
        WINDOW: f"window, `{window_key}`",
        GRID: "the paper's line, all 13 targets",
        ANSWERS: "answers (the product's search)",
        BOTH: "both",
    }
    for rule, num_samples in rules:
        found = summarise(pairs_of(runs, choices, rule, num_samples))
        rows.append(_rule_row(words[rule], num_samples, found))
    return table(head, rows) + (
        "\nGains are means over the runs in which anything can be gained, in points; regret is "
        "over all runs. *Clearly worse* than the last step: a paired t statistic over the test "
        "questions beyond 95 %. A step of training generates 1,024 completions, as long as "
        "answers are.\n"
    )


def _unseen_parts(unseen: Sequence[Run], choices: Choices, window_key: str) -> list[str]:
    """What was chosen on a task that no rule has seen: the same tables again."""
    return [
        UNSEEN,
        _reached_table(unseen, choices, window_key),
        _rules_table(unseen, choices, window_key),
        _sharpness_table(unseen, choices),
        saved_table(unseen, choices),
    ]


def _rule_row(words: str, num_samples: int, found: RuleResult) -> list[str]:
    return [
        words,
        str(num_samples or "none"),
        str(found.num_choices),
        f"{found.gain:.1f}",
        f"{found.gain_of_line:.1f}",
        f"{found.regret:.1f}",
        f"{found.worst_regret:.1f}",
        f"{found.num_clearly_worse}",
        f"{found.num_answers:,.0f}",
        f"{found.steps:.1f}",
    ]


def _sharpness_table(runs: Sequence[Run], choices: Choices) -> str:
    head = ("toy", "rate", "base", "last step", "chosen by answers")
    rows = []
    for (task, rate), group in _groups(runs).items():
        chosen = np.mean([_chosen_at(run, choices) for run in group], axis=0)
        rows.append(
            [
                task,
                show_rate(rate),
                _heats([np.mean([base(run, heat) for run in group]) for heat in range(3)]),
                _heats([np.mean([last(run, heat) for run in group]) for heat in range(3)]),
                _heats(chosen),
            ]
        )
    better = _mean_at(runs, choices)
    return table(head, rows) + (
        "\nAccuracy at temperature 1, at 0.5, and of the most likely answer (greedy). The choice "
        f"is made at temperature 1. Over all runs it adds {better[0]:+.1f} points to the last step "
        f"at temperature 1, {better[1]:+.1f} at 0.5 and {better[2]:+.1f} greedily; the last step "
        f"answering at 0.5 in place of 1 gains {better[3]:+.1f} for nothing. So most of what is "
        "gained is sharpness: it counts where answers are sampled at temperature 1, as in the next "
        "round of training or for pass at k, and a lower temperature gives much of it elsewhere.\n"
    )


def _mean_at(runs: Sequence[Run], choices: Choices) -> list[float]:
    gains = [
        [chosen - last(run, heat) for heat, chosen in enumerate(_chosen_at(run, choices))]
        + [last(run, 1) - last(run)]
        for run in runs
    ]
    return [100 * float(mean) for mean in np.mean(gains, axis=0)]


def _skill_sentence(runs: Sequence[Run]) -> str:
    """Where the paper's line has nothing to give."""
    bad = [run for run in runs if forecast_skill(run) < LEAST_SKILL]
    good = [run for run in runs if forecast_skill(run) >= LEAST_SKILL]

    def gains(group: Sequence[Run]) -> str:
        points = [100 * max(best(run, on_line).accuracy - last(run), 0.0) for run in group]
        return f"{min(points):.1f} to {max(points):.1f} points" if points else "nothing known"

    return (
        f"Forecast skill tells where the line has nothing to give: below {LEAST_SKILL} "
        f"({len(bad)} runs) its best target adds {gains(bad)}, above it ({len(good)} runs) "
        f"{gains(good)}.\n"
    )


def _chosen(run: Run, choices: Choices, rule: str) -> float:
    made = made_by(choices[run.record.name], rule, SAMPLES[0])
    return float(np.mean([choice.accuracies[0] for choice in made]))


def _chosen_at(run: Run, choices: Choices) -> np.ndarray:
    made = made_by(choices[run.record.name], ANSWERS, SAMPLES[0])
    return np.mean([choice.accuracies for choice in made], axis=0)


def _groups(runs: Sequence[Run]) -> dict[tuple[str, float], list[Run]]:
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (TASKS.index(run.task), run.learning_rate, run.seed)):
        groups.setdefault((run.task, run.learning_rate), []).append(run)
    return groups


def _mean(values: Numbers) -> str:
    return f"{np.mean(values):.3f}"


def _spread(values: Numbers, bold: bool = False) -> str:
    mark = "**" if bold else ""
    error = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{mark}{np.mean(values):.3f}{mark}{error}"


def _heats(values: Numbers) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
