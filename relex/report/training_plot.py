"""The picture of the training: the reward, and the accuracy of its completions, by step."""

from collections.abc import Sequence

from relex.report import style
from relex.report.image import Image
from relex.report.summary import TrainingStep

HEIGHT_INCHES = 3.4
PANELS = {
    "reward_mean": ("mean reward", style.VERMILLION),
    "accuracy": ("accuracy of the completions", style.BLUE),
}


def training_picture(training: Sequence[TrainingStep]) -> Image:
    """What was taken of `PANELS`, side by side; for a narrow screen below each other."""
    return Image(_drawn(training, False), narrow=Image(_drawn(training, True)))


def _drawn(training: Sequence[TrainingStep], is_narrow: bool) -> bytes:
    shown = [name for name in PANELS if any(name in step.metrics for step in training)]
    first, last = training[0], training[-1]
    told = ", ".join(
        f"{PANELS[name][0]} {first.metrics[name]:.3f} to {last.metrics[name]:.3f}"
        for name in shown
        if name in first.metrics and name in last.metrics
    )
    width_inches = style.NARROW_INCHES if is_narrow else style.WIDTH_INCHES
    num_rows = len(shown) if is_narrow else 1
    figure = style.new_figure(HEIGHT_INCHES * num_rows, f"Training: {told}", width_inches)
    panels = figure.subplots(num_rows, len(shown) // num_rows, squeeze=False)
    for axes, name in zip(panels.flat, shown, strict=True):
        words, color = PANELS[name]
        taken = [step for step in training if name in step.metrics]
        style.plain_axes(axes, "optimizer step", words)
        axes.plot(
            [step.step for step in taken],
            [step.metrics[name] for step in taken],
            color=color,
            linewidth=1.6,
        )
    return style.png_bytes(figure)
