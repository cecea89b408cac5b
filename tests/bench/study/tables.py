"""Tables of what was tried beside the product's way: methods, and precisions of the snapshots.

Every figure is the mean over runs of the best of the same targets, read off the test questions, so
that no choice of a target speaks for one method or against it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from choice import Run
from points import (
    BEST_PART,
    LOGITS,
    OCTAVES,
    OTHER_PARTS,
    POWERS,
    SEARCHED_PARTS,
    TO_EIGHT,
    points_of_precision,
)
from setting import WINDOW_STEPS, show_rate
from summary import forecast_skill, last

from relex.candidates import LINE, Candidate
from relex.parts import find_part
from relex.run.conclude import LEAST_SKILL
from relex.search.grid import SECANT

CLEARLY = 0.005
"""In how many runs a method is better than another by more than this."""

PRECISIONS = ("float32", "rounded", "bfloat16")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def finding_3(runs: Sequence[Run]) -> str:
    """RELEX's third finding with our figures."""
    ways = {
        "rank 1, straight (the paper's line)": LINE,
        "rank 2, straight": "line-rank2",
        "rank 3, straight": "line-rank3",
        "rank 5, straight": "line-rank5",
        "rank 1, a parabola": "tried:quadratic",
        "the secant of all tensors": SECANT,
    }
    can = [run for run in runs if forecast_skill(run) >= LEAST_SKILL]
    cannot = [run for run in runs if run not in can]
    rows = []
    for words, method in ways.items():
        row = [words]
        for group in (can, cannot):
            found, to_line = (_bests(group, each, TO_EIGHT) for each in (method, LINE))
            against = "" if method == LINE else _against(found, to_line)
            row += [_gain(found, group), against] if group else ["", ""]
        rows.append(row)
    head = (
        *("coefficients", f"{len(can)} runs that forecast", "better, worse than rank 1"),
        *(f"{len(cannot)} runs that do not", "better, worse"),
    )
    return table(head, rows) + (
        "\nFinding 3 of RELEX (arXiv 2605.21468) is that neither nonlinear models of the "
        "coefficients nor higher rank help. Gain over the last step in points, by the best of six "
        "targets from 1.4 to 8 lengths of the window, and in how many runs it is more than half a "
        f"point better or worse. A run forecasts where its forecast skill is {LEAST_SKILL} or "
        "more. [What it means](parts.md#rank-and-curves).\n"
    )


def tried(runs: Sequence[Run]) -> str:
    """What does not pay beside the secant of all tensors, and of the best part."""
    of_all, of_part = _bests(runs, SECANT, TO_EIGHT), _bests(runs, SECANT, OCTAVES, BEST_PART)
    powers = [f"tried:trusted-power{power}" for power in POWERS]
    skills = ["tried:skilled-power2", "tried:skilled-power4"]
    averages = [f"tried:averaged-newest{newest}" for newest in (3, 5, 10)]
    lines = [f"tried:trusted_line-power{power}" for power in (2, 8)]
    logits = np.array([max(run.record.accuracy(f"logits-{a:g}") for a in LOGITS) for run in runs])
    near, far = TO_EIGHT[:4], OCTAVES[1:4]
    found = [
        ("**all tensors: secant**", of_all, of_all),
        (
            "the line from the base through the newest snapshot",
            _bests(runs, "scaled_newest", TO_EIGHT),
            of_all,
        ),
        ("trust (cosine of the halves) times the line", _most(runs, lines, OCTAVES[:4]), of_all),
        ("on from the mean of 3, 5 or 10 newest snapshots", _most(runs, averages, near), of_all),
        ("trust times the secant, to a power of 4 to 32", _most(runs, powers, OCTAVES), of_part),
        ("the same, MLPs alone", _most(runs, powers, OCTAVES, "mlp"), of_part),
        ("held-out skill times the secant", _most(runs, skills, OCTAVES), of_part),
        (f"**`{BEST_PART}`: secant**", of_part, of_part),
        ("the paper's line", _bests(runs, LINE, OCTAVES, BEST_PART), of_part),
        (
            "the line from the newest snapshot",
            _bests(runs, "anchored", OCTAVES, BEST_PART),
            of_part,
        ),
        (
            "the secant over the last step alone",
            _bests(runs, "secant-gap1", OCTAVES, BEST_PART),
            of_part,
        ),
        ("on from the mean of 3, 5 or 10 newest", _most(runs, averages, far, BEST_PART), of_part),
        ("*bound*: logits in place of weights", logits, of_part),
    ]
    rows = [[words, _gain(each, runs), _against(each, other)] for words, each, other in found]
    head = ("way", "gain over the last step", "better, worse than the secant")
    return table(head, rows) + (
        "\nThe best target of every way, in points; the secant that it is held against is that of "
        f"all tensors, for trusts and the lower half of the table that of `{BEST_PART}`. Logits go "
        "from the base through the last step, `base + a (last - base)`: what weights could give if "
        "they moved the answers of both as far as one likes.\n"
    )


def profile(runs: Sequence[Run]) -> str:
    """What moving each part alone gives, the best first."""
    gains = {part: _bests(runs, SECANT, OCTAVES, part) for part in (*SEARCHED_PARTS, *OTHER_PARTS)}
    kept = np.array([last(run) for run in runs])
    rows = []
    for part, found in sorted(gains.items(), key=lambda each: -each[1].mean()):
        lengths = [_best_length(run, part) for run in runs]
        row = [find_part(part).words, _gain(found, runs), f"{np.median(lengths):.0f}"]
        rows.append([*row, f"{np.sum(found > kept + CLEARLY)} of {len(runs)}"])
    return table(("moved alone", "gain over the last step", "lengths", "better"), rows) + (
        "\nThe secant, by the best of six distances from 2 to 64 lengths of the window, in points, "
        "read off the test questions; the median of that distance; and in how many runs it is more "
        "than half a point better than the last step.\n"
    )


def _best_length(run: Run, part: str) -> float:
    def accuracy(length: float) -> float:
        step = round(length * WINDOW_STEPS)
        return run.record.accuracy(Candidate(step=step, method=SECANT, part=part).key)

    return max(OCTAVES, key=accuracy)


def precisions(runs: Sequence[Run]) -> str:
    """How much the rounding of snapshots costs, in the runs that kept several."""
    kept = [run for run in runs if f"float32/{points_of_precision()[0].key}" in run.record.chances]
    if not kept:
        return "No run kept several precisions.\n"
    ways: dict[tuple[str, str], list[str]] = {}
    for point in points_of_precision():
        ways.setdefault((point.method, point.part), []).append(point.key)
    rows = []
    for (method, part), keys in ways.items():
        for rate in sorted({run.learning_rate for run in kept}):
            group = [run for run in kept if run.learning_rate == rate]
            means = [
                np.mean([_accuracy(run, keys, precision) - last(run) for run in group])
                for precision in PRECISIONS
            ]
            name = f"`{method}@{part}`" if part else f"`{method}`"
            rows.append([name, show_rate(rate), *(f"{100 * mean:+.1f}" for mean in means)])
    return table(("method", "rate", *PRECISIONS), rows) + (
        f"\nGain of the best target over the last step in points, {len(kept)} runs of one seed, "
        "the same training each time.\n"
    )


def _accuracy(run: Run, keys: Sequence[str], precision: str) -> float:
    prefix = "" if precision == "rounded" else f"{precision}/"
    return max(run.record.accuracy(prefix + key) for key in keys)


def _bests(
    runs: Sequence[Run], method: str, lengths: Sequence[float], part: str = ""
) -> np.ndarray:
    """By run the best accuracy of a method."""
    steps = [round(length * WINDOW_STEPS) for length in lengths]
    keys = [Candidate(step=step, method=method, part=part).key for step in steps]
    return np.array([max(run.record.accuracy(key) for key in keys) for run in runs])


def _most(
    runs: Sequence[Run], methods: Sequence[str], lengths: Sequence[float], part: str = ""
) -> np.ndarray:
    return np.max([_bests(runs, method, lengths, part) for method in methods], axis=0)


def _gain(found: np.ndarray, runs: Sequence[Run]) -> str:
    return f"{100 * np.mean(found - [last(run) for run in runs]):+.1f}"


def _against(found: np.ndarray, other: np.ndarray) -> str:
    if found is other:
        return ""
    return f"{np.sum(found > other + CLEARLY)}, {np.sum(found < other - CLEARLY)}"
