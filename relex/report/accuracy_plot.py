"""The picture of the choice: accuracy over optimizer step."""

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter
from matplotlib.transforms import offset_copy

from relex.candidates import BASE, DENOISED, Candidate
from relex.report import style
from relex.report.image import Image, point_at
from relex.report.outcome import is_confirmed
from relex.report.summary import BenchmarkResult, RunSummary
from relex.selection.decision import CandidateResult, Decision
from relex.selection.wording import show_accuracy

HEIGHT_INCHES, HEADROOM_FRACTION = 5.2, 0.32
NARROW_HEIGHT_INCHES, NARROW_HEADROOM_FRACTION = 6.6, 0.42

TEST_OFFSET_POINTS = 7
FAR_LENGTHS = 12
"""Targets farther than so many lengths of the window stand on a logarithmic axis behind it."""

EDGE = 0.22
"""Share of the width beside the left and right border, where words stand at the border."""


def accuracy_picture(summary: RunSummary) -> Image:
    """Every candidate's validation accuracy, and the finalists' test accuracy."""
    return replace(_drawn(summary, style.WIDTH_INCHES), narrow=_drawn(summary, style.NARROW_INCHES))


def _drawn(summary: RunSummary, width_inches: float) -> Image:
    decision, is_narrow = summary.decision, width_inches == style.NARROW_INCHES
    height_inches = NARROW_HEIGHT_INCHES if is_narrow else HEIGHT_INCHES
    figure = style.new_figure(height_inches, picture_title(summary), width_inches)
    axes = figure.add_subplot()
    style.plain_axes(axes, "optimizer step", "accuracy (share of correct answers)")
    _set_limits(axes, summary, NARROW_HEADROOM_FRACTION if is_narrow else HEADROOM_FRACTION)
    trained = f"window: trained to step {summary.last_step}"
    has_beyond = any(result.candidate.is_beyond for result in decision.results)
    style.shade_window(axes, summary.last_step, trained, has_beyond)
    _draw_validation(axes, decision)
    _draw_tests(axes, summary)
    _mark_flagged(axes, decision)
    _mark_chosen(axes, decision)
    style.legend_below(figure, axes, 1 if is_narrow else 4)
    drawn = style.png_bytes(figure)
    points = [
        point_at(axes, result.candidate.step, result.accuracy, _point_words(result))
        for result in decision.results
    ]
    return Image(drawn, points)


def _point_words(result: CandidateResult) -> str:
    accuracy = show_accuracy(result.accuracy, result.interval)
    return f"{result.candidate.words}: {accuracy} on {result.num_questions} questions"


def picture_title(summary: RunSummary) -> str:
    """What the choice came to, and no more than the test questions confirm; below it the accuracies
    of base, last trained step and chosen candidate."""
    decision = summary.decision
    named = {"base": BASE, "last step": decision.last_observed, "chosen": decision.chosen}
    accuracies = {result.candidate: result.accuracy for result in decision.results}
    told = [f"{name} {accuracies[of]:.3f}" for name, of in named.items() if of in accuracies]
    return f"{_finding(summary)}\non validation: {', '.join(told)}"


def _finding(summary: RunSummary) -> str:
    decision = summary.decision
    if decision.is_harmful:
        return f"Training made the model worse: {decision.last_observed.key} is below the base"
    if decision.chosen == decision.last_observed:
        return f"{decision.chosen.key} is kept: {_why_kept(decision)}"
    test = decision.result(decision.chosen).to_last_observed
    assert test is not None
    return f"{_how(summary)}: {test.difference:+.3f} on validation{_on_test(summary)}"


def _on_test(summary: RunSummary) -> str:
    """What the headline benchmark says of the gain."""
    for name in summary.benchmark_names[:1]:
        result = summary.benchmark_result(name, summary.decision.chosen)
        if result and result.to_last_observed:
            doubt = "" if is_confirmed(result) else " (may be chance)"
            return f", {result.to_last_observed.difference:+z.3f} on test{doubt}"
    return ""


def _how(summary: RunSummary) -> str:
    """What was done to reach the chosen candidate."""
    chosen = summary.decision.chosen
    if chosen.is_beyond:
        return f"Step {summary.last_step} extrapolated to {chosen.key}"
    if chosen.name == DENOISED:
        return f"Step {chosen.step} denoised"
    return f"Going back to {chosen.key}"


def _why_kept(decision: Decision) -> str:
    if any(result.flags for result in decision.better):
        return "what is more accurate raises red flags"
    better = "nothing is clearly better than" if decision.num_rivals else "it is the last of"
    return f"{better} what was trained"


def _set_limits(axes: Axes, summary: RunSummary, headroom_fraction: float) -> None:
    """Fixed before drawing, with room above the highest point for the words about the chosen."""
    results = summary.decision.results
    intervals = [result.interval for result in results]
    intervals += [result.interval for result in summary.benchmarks]
    low = min(interval.low for interval in intervals)
    high = max(interval.high for interval in intervals)
    height = max(high - low, 0.05)
    last = max(summary.last_step, *(result.candidate.step for result in results))
    if last > FAR_LENGTHS * summary.last_step:
        axes.set_xscale("symlog", linthresh=summary.last_step, linscale=0.5)
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlim(-0.1 * summary.last_step, 1.2 * last)
    else:
        axes.set_xlim(-0.03 * last, 1.05 * last)
    axes.set_ylim(max(low - 0.1 * height, -0.02), high + headroom_fraction * height)
    bottom, top = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= min(top, 1.0)])


def _draw_validation(axes: Axes, decision: Decision) -> None:
    last = decision.result(decision.last_observed)
    axes.axhline(last.accuracy, color=style.GREY, linewidth=1, linestyle=":", zorder=1)
    trained = [r for r in decision.results if not r.candidate.method]
    on_line = [r for r in decision.results if r.candidate.is_on_the_line]
    part = [r for r in decision.results if _is_on_the_way(r.candidate, decision.chosen)]
    others = [r for r in decision.results if r not in [*trained, *on_line, *part]]
    axes.plot(*_points(trained), color=style.BLUE, linewidth=1.6, zorder=2)
    _draw_points(axes, trained, style.BLUE, style.BLUE, "trained (validation)")
    if on_line:
        line = _points([last, *on_line])
        axes.plot(*line, "--", color=style.VERMILLION, linewidth=1.6, zorder=2)
        _draw_points(axes, on_line, style.VERMILLION, "white", "extrapolated (validation)")
    if part:
        axes.plot(*_points([last, *part]), "-.", color=style.PURPLE, linewidth=1.6, zorder=2)
        words = f"{decision.chosen.moved} (validation)"
        _draw_points(axes, part, style.PURPLE, "white", words, "^")
    if others:
        _draw_points(axes, others, style.GREY, "white", "other candidates (validation)", "s")


def _is_on_the_way(candidate: Candidate, chosen: Candidate) -> bool:
    """Whether it moves what the chosen one moves, in the same way, where that is a part."""
    return bool(chosen.part) and candidate == chosen.model_copy(update={"step": candidate.step})


def _points(
    results: Sequence[CandidateResult | BenchmarkResult],
) -> tuple[list[int], list[float]]:
    return [result.candidate.step for result in results], [result.accuracy for result in results]


def _draw_points(
    axes: Axes,
    results: Sequence[CandidateResult | BenchmarkResult],
    color: str,
    fill: str,
    label: str,
    marker: str = "o",
    offset_points: float = 0.0,
) -> None:
    steps, accuracies = _points(results)
    # Never negative, which a bootstrap of few questions could give.
    below = [max(result.accuracy - result.interval.low, 0.0) for result in results]
    figure = axes.get_figure(root=True)
    above = [max(result.interval.high - result.accuracy, 0.0) for result in results]
    axes.errorbar(
        steps,
        accuracies,
        yerr=(below, above),
        fmt=marker,
        color=color,
        markerfacecolor=fill,
        markeredgewidth=1.6,
        markersize=7,
        elinewidth=1.6,
        capsize=3.5,
        zorder=3,
        label=label,
        transform=offset_copy(axes.transData, figure, x=offset_points, units="points"),
    )


def _draw_tests(axes: Axes, summary: RunSummary) -> None:
    """Diamonds for the headline benchmark, a little to the right of the validation points."""
    if not summary.benchmarks:
        return
    headline = summary.benchmark_names[0]
    results = [result for result in summary.benchmarks if result.benchmark == headline]
    words = f"test ({headline})"
    _draw_points(axes, results, style.GREEN, style.GREEN, words, "D", TEST_OFFSET_POINTS)


def _mark_flagged(axes: Axes, decision: Decision) -> None:
    """A cross on every candidate that a red flag stops."""
    flagged = _points([result for result in decision.results if result.flags])
    if flagged[0]:
        axes.plot(*flagged, "x", ms=13, mew=2.5, color=style.BLACK, zorder=4, label="red flag")


def _mark_chosen(axes: Axes, decision: Decision) -> None:
    """A star on the chosen point and its numbers in the room above all points."""
    chosen = decision.result(decision.chosen)
    step, accuracy = chosen.candidate.step, chosen.accuracy
    axes.plot(
        step, accuracy, "*", ms=20, color=style.ORANGE, mec=style.BLACK, zorder=4, label="chosen"
    )
    across, _ = axes.transAxes.inverted().transform(axes.transData.transform((step, accuracy)))
    moved = [chosen.candidate.moved] if chosen.candidate.part else []
    accuracy_words = show_accuracy(accuracy, chosen.interval)
    words = [f"chosen: {chosen.candidate.key}", *moved, accuracy_words]
    if EDGE < across < 1 - EDGE:
        place, side = across, "center"
    else:
        place, side = (0.01, "left") if across <= EDGE else (0.99, "right")
    axes.annotate(
        "\n".join(words),
        xy=(step, accuracy),
        xytext=(place, 0.97),
        textcoords="axes fraction",
        ha=side,
        va="top",
        fontsize=style.TEXT_POINTS + 1,
        fontweight="bold",
        color=style.BLACK,
        arrowprops={"arrowstyle": "-", "color": style.GREY, "shrinkB": 12},
    )
