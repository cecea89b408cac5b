"""The picture of the method: coefficients over the step, and lines that forecast the last ones."""

from collections.abc import Collection

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

from relex.extrapolation import Diagnostics, Factors, hold_out_last
from relex.report import style
from relex.report.image import Image
from relex.report.style import kind_of, shorten, show

COEFFICIENT_PICTURE = "coefficients.png"
HEIGHT_INCHES, NARROW_HEIGHT_INCHES = 5.6, 9.0
NUM_ROWS, NUM_COLUMNS = 3, 2
SMALL_POINTS = 8
NAME_CHARACTERS = 28
LARGE_MARKER, SMALL_MARKER = 5.0, 2.5


def coefficient_picture(factors: Factors, diagnostics: Diagnostics) -> Image:
    """The model as one vector, and a few tensors, each with the line of the kept steps; on a narrow
    screen the tensors stand below the model.

    Direction and line know only the steps before those that are held out.
    """
    wide = style.new_figure(HEIGHT_INCHES, _title(diagnostics))
    narrow = style.new_figure(NARROW_HEIGHT_INCHES, _title(diagnostics), style.NARROW_INCHES)
    grids = (
        wide.add_gridspec(1, 2, width_ratios=(1.0, 1.15)),
        narrow.add_gridspec(2, 1, height_ratios=(0.8, 1.0)),
    )
    for figure, grid in zip((wide, narrow), grids, strict=True):
        model, tensors = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
        _draw_model(model.subplots(), factors, diagnostics)
        _draw_tensors(tensors, factors, diagnostics)
    return Image(style.png_bytes(wide), narrow=Image(style.png_bytes(narrow)))


def choose_tensors(factors: Factors) -> list[str]:
    """Of every kind of module the tensor that moves most; a few of these, from most to least."""
    sigmas = {
        name: fit.directions[0].sigma
        for name, fit in factors.table.tensors.items()
        if fit.directions
    }
    largest: dict[str, str] = {}
    for name in sorted(sigmas, key=lambda name: -sigmas[name]):
        largest.setdefault(kind_of(name), name)
    names = list(largest.values())
    num_shown = min(NUM_ROWS * NUM_COLUMNS, len(names))
    return [names[i * (len(names) - 1) // max(num_shown - 1, 1)] for i in range(num_shown)]


def _title(diagnostics: Diagnostics) -> str:
    overall, held = diagnostics.overall, diagnostics.held_out_steps
    if overall.r2 is None:
        return "No coefficient varies"
    straight = f"Lines fit the coefficients with R² {overall.r2:.4f}"
    if not held:
        return straight
    skill = show(overall.forecast_skill.over_staying)
    return f"{straight}; forecast skill on the last {len(held)} steps: {skill}"


def _draw_model(axes: Axes, factors: Factors, diagnostics: Diagnostics) -> None:
    style.plain_axes(axes, "optimizer step", "coefficient (length along the direction)")
    _draw(axes, factors, list(factors.table.tensors), LARGE_MARKER)
    axes.set_title("whole model as one vector", loc="left", fontsize=style.TEXT_POINTS)
    axes.legend(
        *axes.get_legend_handles_labels(),
        loc="upper left",
        frameon=False,
        fontsize=style.TEXT_POINTS - 1,
    )
    if diagnostics.held_out_steps:
        axes.text(
            0.98,
            0.03,
            "skill also counts what moves\nbeside the direction, which\nis not seen here",
            transform=axes.transAxes,
            ha="right",
            fontsize=SMALL_POINTS,
            color=style.GREY,
        )


def _draw_tensors(figure: SubFigure, factors: Factors, diagnostics: Diagnostics) -> None:
    """Small pictures from the tensor that moves most down, each on its own scale."""
    names = choose_tensors(factors)
    panels = figure.subplots(NUM_ROWS, NUM_COLUMNS, sharex=True)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.flat, names, strict=False):
        style.plain_axes(axes, "", "")
        axes.tick_params(labelsize=SMALL_POINTS)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _draw(axes, factors, [name], SMALL_MARKER)
        words = shorten(name, NAME_CHARACTERS)
        axes.set_title(words, loc="left", fontsize=SMALL_POINTS)
        skill = diagnostics.tensors[name].forecast_skill.over_staying
        axes.text(
            0.96,
            0.06,
            f"skill {show(skill)}",
            transform=axes.transAxes,
            ha="right",
            fontsize=SMALL_POINTS,
        )
    for axes in panels[-1]:
        axes.set_xlabel("optimizer step", fontsize=SMALL_POINTS)


def _draw(axes: Axes, factors: Factors, names: Collection[str], marker: float) -> None:
    """Kept coefficients filled, held-out ones hollow, the line dashed where it forecasts."""
    forecast = hold_out_last(factors.table, names)
    if forecast is None:
        return
    steps, num_kept = np.array(factors.table.steps), forecast.num_kept
    found = np.array(forecast.coefficients)
    line = np.array([forecast.line.at(step) for step in steps])
    kept, held, beyond = slice(num_kept), slice(num_kept, None), slice(num_kept - 1, None)
    axes.plot(steps[kept], line[kept], color=style.BLUE, linewidth=1.4, label="line")
    axes.plot(steps[kept], found[kept], "o", markersize=marker, color=style.BLUE, label="kept step")
    if num_kept < len(steps):
        middle = (steps[num_kept - 1] + steps[num_kept]) / 2
        axes.axvspan(middle, steps[-1] * 1.03, color=style.WINDOW_SHADE, zorder=0, linewidth=0)
        axes.plot(steps[beyond], line[beyond], "--", color=style.VERMILLION, label="its forecast")
        axes.plot(
            steps[held],
            found[held],
            "o",
            markersize=marker,
            color=style.VERMILLION,
            markerfacecolor="white",
            label="held-out step",
        )
    axes.set_xlim(0, steps[-1] * 1.03)
    axes.set_ylim(bottom=min(0.0, float(found.min()), float(line.min())))
