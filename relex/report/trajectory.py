"""What the diagnostics of a fit say, in words and as a table of tensors."""

from rich import box
from rich.table import Table

from relex.extrapolation import Diagnosis, Diagnostics
from relex.report.names import shorten

NUM_SHOWN = 6
NAME_CHARACTERS = 25
LITTLE_PERSISTENCE = 0.1
"""Cosine of consecutive updates below which they are as good as independent."""

TURN_COSINE = 0.5
"""Cosine of the halves below which the direction has turned by more than 60 degrees."""

UNKNOWN = "-"

Row = tuple[str, str, str]


def verdict(diagnostics: Diagnostics) -> str:
    """One sentence on what to expect of the line beyond the window."""
    skill = diagnostics.overall.forecast_skill.over_staying
    if diagnostics.num_still == len(diagnostics.tensors):
        return "No weight moved."
    if skill is None:
        return "The window is too short, or stands still at its end: no forecast could be checked."
    held, last_kept = _held_out(diagnostics), _last_kept(diagnostics)
    if skill <= 0:
        return (
            f"The line forecasts {held} no better than staying at step {last_kept} does: it is not "
            "to be trusted beyond the window."
        )
    return (
        f"The line removes {100 * skill:.0f} % of the error that staying at step {last_kept} "
        f"makes on {held}."
    )


def concerns(diagnostics: Diagnostics) -> list[str]:
    """What is wrong with the trajectory or speaks against extrapolating it, most urgent first."""
    found = [anomaly.message for anomaly in diagnostics.anomalies]
    overall = diagnostics.overall
    if overall.half_cosine is not None and overall.half_cosine < TURN_COSINE:
        found.append(
            "the second half of the window goes another way than the first (cosine "
            f"{overall.half_cosine:.2f}): a line does not describe it; train longer, or fit its end"
        )
    if overall.persistence is not None and overall.persistence < LITTLE_PERSISTENCE:
        found.append(
            f"consecutive updates have little in common (cosine {overall.persistence:.2f}): the "
            "weights wander, or the snapshots are rounded more coarsely than a step moves them, as "
            "in bfloat16; keep float32 snapshots to tell"
        )
    return found


def overall_rows(diagnostics: Diagnostics) -> list[Row]:
    """Every number of the whole model: what it is, its value, and how to read it."""
    overall, walk = diagnostics.overall, diagnostics.random_walk
    rows = _skill_rows(diagnostics) if diagnostics.held_out_steps else []
    rows += [
        ("half cosine", show(overall.half_cosine), "between the directions of the window's halves"),
        ("persistence", show(overall.persistence), "cosine between one update and the next"),
    ]
    rows += [
        (
            "" if number else "predicted size",
            show(size),
            f"at k = {target}, in lengths of the last displacement",
        )
        for number, (target, size) in enumerate(overall.predicted_size.items())
    ]
    walk_explained, walk_r2 = show(walk.explained_fraction), show(walk.r2)
    return [
        *rows,
        (
            "explained",
            show(overall.explained_fraction, 4),
            f"fraction in the window; even a random walk has {walk_explained}",
        ),
        (
            "R2",
            show(overall.r2, 4),
            f"of the line in the window; even a random walk has {walk_r2}",
        ),
    ]


def _skill_rows(diagnostics: Diagnostics) -> list[Row]:
    skill = diagnostics.overall.forecast_skill
    before, last = diagnostics.steps[: -len(diagnostics.held_out_steps)][-2:]
    return [
        ("forecast skill", show(skill.over_staying), f"against staying at step {last}"),
        ("", show(skill.over_secant), f"against the line through steps {before} and {last}"),
        ("", show(skill.over_ray), f"against the line from the base through step {last}"),
        ("", show(skill.newest_over_staying), "of --method anchored, against staying"),
    ]


def tensor_table(diagnostics: Diagnostics) -> Table:
    """Tensors that moved, from those whose forecast hurts the model most to those that help most.

    A tensor counts by its skill times its share of the movement. Both ends where they are many.
    """
    moved = {name: one for name, one in diagnostics.tensors.items() if one.movement_fraction}
    names = sorted(moved, key=lambda name: _help(moved[name]))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("tensor", no_wrap=True)
    for title in ("moved", "skill", "halves", "persists", "explained", "R2"):
        table.add_column(title, justify="right", no_wrap=True)
    shown = [*names[:NUM_SHOWN], "", *names[-NUM_SHOWN:]] if len(names) > 2 * NUM_SHOWN else names
    for name in shown:
        table.add_row(*(_cells(name, moved[name]) if name else ("...",)))
    return table


def _cells(name: str, found: Diagnosis) -> list[str]:
    return [
        shorten(name, NAME_CHARACTERS),
        f"{found.movement_fraction or 0.0:.1%}",
        show(found.forecast_skill.over_staying),
        show(found.half_cosine),
        show(found.persistence),
        show(found.explained_fraction),
        show(found.r2, 4),
    ]


def _help(found: Diagnosis) -> float:
    return (found.forecast_skill.over_staying or 0.0) * (found.movement_fraction or 0.0)


def show(value: float | None, num_digits: int = 2) -> str:
    """A number, or `-` for one that cannot be known."""
    return UNKNOWN if value is None else f"{value:.{num_digits}f}"


def _last_kept(diagnostics: Diagnostics) -> int:
    return diagnostics.steps[-len(diagnostics.held_out_steps) - 1]


def _held_out(diagnostics: Diagnostics) -> str:
    steps = diagnostics.held_out_steps
    return f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
