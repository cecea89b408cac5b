"""The picture of Finding 1: how much of the movement each further direction takes.

S steps of the window.
"""

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from relex.extrapolation import Diagnostics, FactorsTable, random_walk_gram
from relex.extrapolation.movement import GRAM_ROUNDING, joint_movement, movement_of
from relex.extrapolation.subspace import Array
from relex.report import style

HEIGHT_INCHES = 4.8
MOST_VALUES = 30
BAND_QUANTILES = (0.1, 0.5, 0.9)


def spectrum_picture(table: FactorsTable, diagnostics: Diagnostics) -> bytes:
    """PNG of the squared singular values over their sum: the model, its tensors, a random walk."""
    figure = style.new_figure(HEIGHT_INCHES, _title(diagnostics))
    axes = figure.add_subplot()
    style.plain_axes(axes, "direction, by falling singular value", "share of the squared movement")
    movements = [movement_of(fit.gram_SS) for fit in table.tensors.values() if fit.directions]
    num_shown = min(len(table.steps), MOST_VALUES)
    number = np.arange(1, num_shown + 1)
    walk = _shares(random_walk_gram(table.steps))[:num_shown]
    axes.plot(number, walk, ":", color=style.GREY, linewidth=2, label="random walk, for scale")
    if movements:
        tensors = np.stack([_shares(movement.gram_SS)[:num_shown] for movement in movements])
        low, middle, high = np.quantile(tensors, BAND_QUANTILES, axis=0)
        band = "tensors: median, and band of 80 %"
        axes.plot(number, middle, color=style.BLUE, linewidth=1.4, label=band)
        axes.fill_between(number, low, high, color=style.SKY, alpha=0.3, linewidth=0)
        model = _shares(joint_movement(movements, len(table.steps)).gram_SS)[:num_shown]
        axes.plot(number, model, "o", color=style.VERMILLION, label="model as one vector")
        axes.set_ylim(min(*middle, *model) / 3, 2)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False, fontsize=style.TEXT_POINTS)
    return style.png_bytes(figure)


def _title(diagnostics: Diagnostics) -> str:
    explained = diagnostics.overall.explained_fraction
    if explained is None:
        return "No weight moved"
    rank, walk = diagnostics.rank, diagnostics.random_walk.explained_fraction or 0.0
    directions = "One direction explains" if rank == 1 else f"{rank} directions explain"
    return f"{directions} {explained:.1%} of the movement (of a random walk: {walk:.0%})"


def _shares(gram_SS: Array) -> Array:
    """Squared singular values over their sum, falling; what drowns in rounding is cut off."""
    share_S: Array = np.linalg.eigvalsh(gram_SS)[::-1] / np.trace(gram_SS)
    return np.where(share_S > GRAM_ROUNDING, share_S, GRAM_ROUNDING)
