"""The picture of the method: coefficients over optimizer step, with their lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from relex.extrapolation import Diagnosis, DirectionFit, Factors
from relex.report import style
from relex.report.names import kind_of, shorten

HEIGHT_INCHES = 5.2
NUM_CURVES = 6
NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Curve:
    """The first direction of one tensor."""

    name: str
    fit: DirectionFit

    @property
    def label(self) -> str:
        """The tensor and how straight its coefficients are."""
        short = shorten(self.name, NAME_CHARACTERS)
        line = self.fit.line
        if line.total_squares == 0:
            return short
        return f"{short} (R² {1 - line.residual_squares / line.total_squares:.4f})"


def coefficient_picture(factors: Factors, diagnosis: Diagnosis, last_target: int) -> bytes:
    """PNG of the coefficients of a few tensors: left the window, right the way to the targets."""
    figure = style.new_figure(HEIGHT_INCHES, _title(factors.table.rank, diagnosis))
    last_step = factors.table.steps[-1]
    near, far = figure.subplots(1, 2)
    _prepare(near, f"window: steps 1 to {last_step}", last_step)
    _prepare(far, f"the lines, out to k = {last_target}", last_target)
    far.axvspan(0, last_step, color=style.WINDOW_SHADE, zorder=0, linewidth=0)
    near.set_ylabel("coefficient (length of the displacement)", fontsize=style.TEXT_POINTS)
    near.set_facecolor(style.WINDOW_SHADE)
    for curve, colour in zip(choose_curves(factors), style.COLOURS, strict=False):
        for axes, end in ((near, last_step), (far, last_target)):
            _draw(axes, curve, factors.table.steps, end, colour)
    style.legend_below(figure, near, 2)
    return style.png_bytes(figure)


def choose_curves(factors: Factors) -> list[Curve]:
    """Of every kind of module the tensor that moves most; a few of these, from most to least."""
    moved = [
        Curve(name, fit.directions[0])
        for name, fit in factors.table.tensors.items()
        if fit.directions
    ]
    moved.sort(key=lambda curve: curve.fit.sigma, reverse=True)
    largest: dict[str, Curve] = {}
    for curve in moved:
        largest.setdefault(kind_of(curve.name), curve)
    curves = list(largest.values())
    num_shown = min(NUM_CURVES, len(curves))
    ranks = [round(i * (len(curves) - 1) / max(num_shown - 1, 1)) for i in range(num_shown)]
    return [curves[rank] for rank in ranks]


def _title(rank: int, model: Diagnosis) -> str:
    if model.explained_fraction is None or model.r2 is None:
        return "No weight moved"
    directions = "One direction explains" if rank == 1 else f"{rank} directions explain"
    skill = model.forecast_skill.over_staying
    forecast = "" if skill is None else f"; forecast skill {skill:.2f}"
    return (
        f"{directions} {model.explained_fraction:.1%}, along a line (R² {model.r2:.4f}){forecast}"
    )


def _prepare(axes: Axes, words: str, last_step: int) -> None:
    style.plain_axes(axes, "optimizer step", "")
    axes.set_xlim(-0.03 * last_step, 1.05 * last_step)
    axes.set_title(words, loc="left", fontsize=style.TEXT_POINTS, color=style.GREY)


def _draw(axes: Axes, curve: Curve, steps: Sequence[int], end: int, colour: str) -> None:
    """The coefficients as points, their line through them, and dashed beyond them."""
    axes.plot(
        steps,
        curve.fit.coefficients,
        marker="o",
        markersize=4,
        linestyle="none",
        color=colour,
        zorder=3,
        label=curve.label,
    )
    for first, last, line_style in ((steps[0], steps[-1], "-"), (steps[-1], end, "--")):
        heights = [curve.fit.line.at(step) for step in (first, last)]
        axes.plot((first, last), heights, color=colour, linestyle=line_style, linewidth=1.4)
