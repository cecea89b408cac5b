"""The picture of a sweep: validation accuracy over the optimizer step, by variant."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean

from matplotlib.axes import Axes

from relex.report import style
from relex.report.image import Image
from relex.sweep import CurvePoint, Leaderboard, TrialMeasures, VariantResult

HEIGHT_INCHES, NARROW_HEIGHT_INCHES = 5.2, 6.6
LATER = "#b0b0b0"
HEADROOM_FRACTION = 0.08
THIN, THICK = 0.8, 2.4


def sweep_picture(leaderboard: Leaderboard) -> Image:
    """All curves: means over the seeds thick, seeds thin, extrapolated parts dashed.

    The best variants have colours of their own; what comes after them is grey.
    """
    return Image(_drawn(leaderboard, False), narrow=Image(_drawn(leaderboard, True)))


def _drawn(leaderboard: Leaderboard, is_narrow: bool) -> bytes:
    height_inches = NARROW_HEIGHT_INCHES if is_narrow else HEIGHT_INCHES
    width_inches = style.NARROW_INCHES if is_narrow else style.WIDTH_INCHES
    figure = style.new_figure(height_inches, _title(leaderboard), width_inches)
    axes = figure.add_subplot()
    style.plain_axes(axes, "optimizer step", "validation accuracy (share of correct answers)")
    finished = [variant for variant in leaderboard.variants if variant.num_finished]
    for rank, variant in enumerate(finished):
        color = style.COLOURS[rank] if rank < len(style.COLOURS) else LATER
        _draw_variant(axes, leaderboard, variant, color, rank)
    for variant in leaderboard.variants[len(finished) :]:
        axes.plot([], [], linestyle="none", label=f"{variant.variant}: no trial finished")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), high + HEADROOM_FRACTION * (high - low))
    axes.set_xlim(left=0)
    last_step = leaderboard.last_step
    style.shade_window(axes, last_step, f"trained to step {last_step}")
    _explain_lines(axes)
    style.legend_below(figure, axes, 1 if is_narrow else 2)
    return style.png_bytes(figure)


def _title(leaderboard: Leaderboard) -> str:
    winner = leaderboard.winner
    if winner is None:
        return "Every reward made the model worse than the base"
    accuracy = f"{winner.test_accuracies[leaderboard.benchmark]:.3f}"
    base = leaderboard.base_test_accuracy
    before = "" if base is None else f", {base:.3f} untrained"
    return f"{winner.variant} ranks first: test accuracy {accuracy}{before}"


def _draw_variant(
    axes: Axes, leaderboard: Leaderboard, variant: VariantResult, color: str, rank: int
) -> None:
    measures = [
        trial.measures for trial in leaderboard.trials_of(variant.variant) if trial.measures
    ]
    front = 10.0 - rank
    for seed in measures:
        if len(measures) > 1:
            _draw_curve(axes, seed.curve, color, THIN, front - 0.5)
        _mark_chosen(axes, seed, color, front + 10)
    accuracy = variant.test_accuracies[leaderboard.benchmark]
    place = "" if variant.num_harmful else f"{rank + 1}. "
    harm = ", harmful, the base is kept" if variant.num_harmful else ""
    words = f"{place}{variant.variant}{harm}: test {accuracy:.3f}"
    if variant.num_finished < variant.num_trials:
        words += f", {variant.num_finished} of {variant.num_trials} trials"
    _draw_curve(axes, _mean_curve(measures), color, THICK, front, words)


def _draw_curve(
    axes: Axes,
    curve: Sequence[CurvePoint],
    color: str,
    width: float,
    front: float,
    label: str | None = None,
) -> None:
    trained = [point for point in curve if not point.candidate.is_beyond]
    beyond = [point for point in curve if point.candidate.is_beyond]
    draw = partial(axes.plot, color=color, linewidth=width, zorder=front)
    draw(*_coordinates(trained), linestyle="-", label=label)
    if beyond:
        draw(*_coordinates([*trained[-1:], *beyond]), linestyle="--")


def _coordinates(points: Sequence[CurvePoint]) -> tuple[list[int], list[float]]:
    return [point.candidate.step for point in points], [point.accuracy for point in points]


def _mean_curve(measures: Sequence[TrialMeasures]) -> list[CurvePoint]:
    """Mean over the seeds at every candidate that all of them measured."""
    by_seed = [{point.candidate: point.accuracy for point in each.curve} for each in measures]
    return [
        CurvePoint(
            candidate=point.candidate,
            accuracy=fmean(accuracies[point.candidate] for accuracies in by_seed),
        )
        for point in measures[0].curve
        if all(point.candidate in accuracies for accuracies in by_seed)
    ]


def _mark_chosen(axes: Axes, measures: TrialMeasures, color: str, front: float) -> None:
    """A star where a run's choice lies on its curve."""
    chosen = [point for point in measures.curve if point.candidate == measures.chosen]
    stars = axes.plot(*_coordinates(chosen), "*", ms=15, color=color, mec="white", zorder=front)
    for star in stars:
        star.set_clip_on(False)  # whole also at step 0, where the base was chosen


def _explain_lines(axes: Axes) -> None:
    """What thin lines and stars are, for the legend."""
    plot = partial(axes.plot, [], [], color=style.GREY)
    plot(marker="*", markersize=12, linestyle="none", label="chosen by a run")
    plot(linewidth=THIN, label="one seed (thick: mean; dashed: extrapolated)")
