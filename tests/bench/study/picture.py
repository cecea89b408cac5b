"""The study as one picture: what training reaches, what line and secant reach, what was chosen."""

from collections.abc import Mapping, Sequence

from choice import Choice, Run
from matplotlib.axes import Axes
from points import BEST_PART, GRID, LAST, OCTAVES
from setting import LONG_LAST_STEPS, TASKS, WINDOW_STEPS, show_rate
from summary import trained_steps

from relex.candidates import LINE, Candidate, parse_candidate
from relex.report import style
from relex.search.grid import SECANT

ROW_INCHES = 2.15
TITLE = "Moving a part of the tensors reaches more than moving all, and much farther out"
TICKS = (10, 30, 100, 300, 1000)


def study_picture(runs: Sequence[Run], chosen: Mapping[str, Choice]) -> bytes:
    """PNG; rows are tasks, columns learning rates, thin lines seeds."""
    tasks = [task for task in TASKS if any(run.task == task for run in runs)]
    figure = style.new_figure(ROW_INCHES * len(tasks), TITLE)
    panels = figure.subplots(
        len(tasks), len(LONG_LAST_STEPS), sharex=True, sharey=True, squeeze=False
    )
    for row, task in zip(panels, tasks, strict=True):
        for axes, rate in zip(row, LONG_LAST_STEPS, strict=True):
            _frame(axes, task, rate, is_first=axes is row[0], is_last=row is panels[-1])
            for run in runs:
                if (run.task, run.learning_rate) == (task, rate):
                    _draw(axes, run, chosen[run.record.name])
    handles = dict(zip(*reversed(panels[0][0].get_legend_handles_labels()), strict=True))
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=style.TEXT_POINTS,
    )
    return style.png_bytes(figure)


def _frame(axes: Axes, task: str, rate: float, *, is_first: bool, is_last: bool) -> None:
    style.plain_axes(
        axes, "optimizer step" if is_last else "", f"{task}\ntest accuracy" if is_first else ""
    )
    axes.set_title(
        f"learning rate {show_rate(rate)}", fontsize=style.TEXT_POINTS, color=style.BLACK
    )
    axes.set_xscale("log")
    axes.set_xlim(5, 2200)
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.axvspan(5, WINDOW_STEPS, color=style.WINDOW_SHADE, zorder=0)


def _draw(axes: Axes, run: Run, choice: Choice) -> None:
    steps = [*range(5, WINDOW_STEPS, 5), *trained_steps(run)]
    trained = [Candidate(step=step) for step in steps]
    _line(axes, run, trained, style.BLACK, "really trained")
    _line(axes, run, [LAST, *_way(LINE, GRID)], style.BLUE, "the line")
    _line(axes, run, [LAST, *_way(SECANT, GRID)], style.GREEN, "the secant, all tensors")
    part = [LAST, *_way(SECANT, OCTAVES, BEST_PART)]
    _line(axes, run, part, style.VERMILLION, "the secant, MLPs of the upper half")
    axes.plot(
        [parse_candidate(choice.chosen).step],
        [choice.accuracies[0]],
        marker="*",
        markersize=10,
        color=style.ORANGE,
        markeredgecolor=style.BLACK,
        markeredgewidth=0.6,
        linestyle="none",
        label="chosen by answers",
        zorder=5,
    )


def _way(method: str, lengths: Sequence[float], part: str = "") -> list[Candidate]:
    steps = sorted({round(length * WINDOW_STEPS) for length in lengths})
    return [Candidate(step=step, method=method, part=part) for step in steps]


def _line(axes: Axes, run: Run, points: Sequence[Candidate], color: str, label: str) -> None:
    axes.plot(
        [each.step for each in points],
        [run.record.accuracy(each.key) for each in points],
        color=color,
        linewidth=1.1,
        alpha=0.75,
        label=label,
    )
