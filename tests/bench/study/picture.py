"""The study as one picture: what training reaches, what the line reaches, and what was chosen."""

from collections.abc import Mapping, Sequence

from choice import LAST, Choice, grid
from matplotlib.axes import Axes
from train import TASKS
from trajectory import CONTINUED_STEPS, WINDOW_STEPS, Trajectory, show_rate

from relex.candidates import Candidate
from relex.report import style

HEIGHT_INCHES = 5.6
EVERY = 5
TITLE = "Extrapolation is taken where it helps; where it harms, step 30 is kept"
TICKS = (10, 30, 100, 300, 1000)


def study_picture(runs: Sequence[Trajectory], choices: Mapping[str, Choice]) -> bytes:
    """PNG; rows are tasks, columns learning rates, thin lines seeds."""
    figure = style.new_figure(HEIGHT_INCHES, TITLE)
    tasks = [task for task in TASKS if any(run.setting.task == task for run in runs)]
    panels = figure.subplots(
        len(tasks), len(CONTINUED_STEPS), sharex=True, sharey=True, squeeze=False
    )
    for row, task in zip(panels, tasks, strict=True):
        for axes, rate in zip(row, CONTINUED_STEPS, strict=True):
            _frame(axes, task, rate, is_first=axes is row[0], is_last=row is panels[-1])
            for run in runs:
                if (run.setting.task, run.setting.learning_rate) == (task, rate):
                    _draw(axes, run, choices[run.setting.name])
    figure.legend(
        *_unique(panels[0][0]),
        loc="outside lower center",
        ncols=4,
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


def _draw(axes: Axes, run: Trajectory, choice: Choice) -> None:
    trained = [step for step in (10, 20, WINDOW_STEPS, *run.continued_steps) if step % EVERY == 0]
    observed = [Candidate(step=step) for step in trained]
    _line(axes, run, observed, color=style.BLACK, label="really trained")
    _line(axes, run, [LAST, *grid()], color=style.BLUE, label="the line")
    secants = [Candidate(step=target.step, method="secant") for target in grid()]
    _line(axes, run, [LAST, *secants], color=style.GREEN, label="secants of all tensors")
    axes.plot(
        [choice.chosen.step],
        [choice.accuracy],
        marker="*",
        markersize=11,
        color=style.ORANGE,
        markeredgecolor=style.BLACK,
        markeredgewidth=0.6,
        linestyle="none",
        label="chosen by targets: auto",
        zorder=5,
    )


def _line(
    axes: Axes, run: Trajectory, candidates: Sequence[Candidate], color: str, label: str
) -> None:
    axes.plot(
        [each.step for each in candidates],
        [run.exact(each, "test").mean() for each in candidates],
        color=color,
        linewidth=1.1,
        alpha=0.75,
        label=label,
    )


def _unique(axes: Axes) -> tuple[list, list[str]]:
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(handles.values()), list(handles)
