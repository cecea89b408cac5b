"""What the diagnostics of a fit say, in words and as a table of tensors."""

from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.table import Column, Table

from relex.extrapolation import Diagnosis, Diagnostics, Factors, are_settled
from relex.report.coefficient_plot import COEFFICIENT_PICTURE, coefficient_picture
from relex.report.heat_map import heat_map_picture
from relex.report.spectrum_plot import spectrum_picture
from relex.report.style import shorten, show
from relex.storage.atomic import new_folder

NUM_SHOWN = 6
NAME_CHARACTERS = 25
LITTLE_PERSISTENCE = 0.1
"""Cosine of consecutive updates below which they are as good as independent."""

TURN_COSINE = 0.5
"""Cosine of the halves below which the direction has turned by more than 60 degrees."""

Row = tuple[str, str, str]


def verdict(diagnostics: Diagnostics) -> str:
    """One sentence on what to expect of the line beyond the window."""
    skill = diagnostics.overall.forecast_skill.over_staying
    if diagnostics.num_still == len(diagnostics.tensors):
        return "No weight moved."
    if skill is None:
        return "The window is too short, or stands still at its end: no forecast could be checked."
    steps = diagnostics.held_out_steps
    held = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
    last_kept = diagnostics.steps[-len(steps) - 1]
    if skill <= 0:
        return (
            f"The line forecasts {held} no better than staying at step {last_kept} does: it is not "
            "to be trusted beyond the window."
        )
    return (
        f"The line removes {100 * skill:.0f} % of the error that staying at step {last_kept} "
        f"makes on {held}."
    )


def settled(diagnostics: Diagnostics, most_steps: int | None = None) -> str:
    """Whether a longer window would say more; and why training stopped, where it could go on to
    `most_steps`. Empty for a window that is too short to tell."""
    looks, last_step = diagnostics.looks, diagnostics.steps[-1]
    if not looks:
        return ""
    agree = are_settled(looks)
    numbers = (
        f"at steps {', '.join(str(look.step) for look in looks)} the secant's skill was "
        f"{_listed(look.skill for look in looks)} and the cosine of the halves "
        f"{_listed(look.half_cosine for look in looks)}"
    )
    if most_steps is not None and last_step < most_steps:
        return (
            f"Training stopped at step {last_step} of at most {most_steps}, because the window was "
            f"settled: {numbers}, and the parts kept their order."
        )
    if agree:
        return f"The window is settled: {numbers}, and the parts kept their order."
    went_on = "" if most_steps is None else f", so training went on to step {last_step}, the last"
    return f"The window is not settled{went_on}: {numbers}."


def _listed(values: Iterable[float | None]) -> str:
    return ", ".join(map(show, values))


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
    title = "predicted size"
    for target, size in overall.predicted_size.items():
        rows.append((title, show(size), f"at step {target}, in lengths of the last displacement"))
        title = ""
    explained = f"fraction in the window; even a random walk has {show(walk.explained_fraction)}"
    straight = f"of the line in the window; even a random walk has {show(walk.r2)}"
    rows.append(("explained", show(overall.explained_fraction, 4), explained))
    return [*rows, ("R2", show(overall.r2, 4), straight)]


def _skill_rows(diagnostics: Diagnostics) -> list[Row]:
    skill = diagnostics.overall.forecast_skill
    before, last = diagnostics.steps[: -len(diagnostics.held_out_steps)][-2:]
    return [
        ("forecast skill", show(skill.over_staying), f"against staying at step {last}"),
        ("", show(skill.over_secant), f"against the line through steps {before} and {last}"),
        ("", show(skill.over_ray), f"against the line from the base through step {last}"),
        (
            "",
            show(skill.newest_over_staying),
            "of the line from the newest step, against staying",
        ),
    ]


def tensor_table(diagnostics: Diagnostics) -> Table:
    """Tensors that moved, from those whose forecast hurts the model most to those that help most.

    A tensor counts by its skill times its share of the movement. Both ends where they are many.
    """
    moved = {name: one for name, one in diagnostics.tensors.items() if one.movement_fraction}
    names = sorted(moved, key=lambda name: _help(moved[name]))
    titles = ("moved", "skill", "halves", "persists", "explained", "R2")
    columns = [Column(title, justify="right", no_wrap=True) for title in titles]
    name_column = Column("tensor", no_wrap=True)
    table = Table(name_column, *columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
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


def write_trajectory_pictures(factors: Factors, diagnostics: Diagnostics, out: Path) -> None:
    """`spectrum.png`, `coefficients.png` and `heatmap.png` of a fit, in the new folder `out`.

    Raises InputError when `out` exists.
    """
    pictures = {
        "spectrum.png": spectrum_picture(factors.table, diagnostics),
        COEFFICIENT_PICTURE: coefficient_picture(factors, diagnostics).png,
        "heatmap.png": heat_map_picture(diagnostics),
    }
    with new_folder(out) as partial:
        for name, data in pictures.items():
            (partial / name).write_bytes(data)
