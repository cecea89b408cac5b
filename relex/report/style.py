"""How the pictures look: drawn without global state, sharp at 900 pixels wide."""

import io
import warnings

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK = "#222222"
GREY = "#6e6e6e"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
YELLOW = "#F0E442"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
WINDOW_SHADE = "#e9eef3"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

WIDTH_INCHES = 9.0
DOTS_PER_INCH = 200
TITLE_POINTS = 13
TEXT_POINTS = 10


def new_figure(height_inches: float, title: str) -> Figure:
    """An empty figure whose title states the finding."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    figure.suptitle(
        title, x=0.012, ha="left", fontsize=TITLE_POINTS, fontweight="bold", color=BLACK
    )
    return figure


def plain_axes(axes: Axes, x_label: str, y_label: str) -> None:
    """Labels, a light grid and no frame where nothing is read."""
    axes.set_xlabel(x_label, fontsize=TEXT_POINTS, color=BLACK)
    axes.set_ylabel(y_label, fontsize=TEXT_POINTS, color=BLACK)
    axes.tick_params(labelsize=TEXT_POINTS, colors=GREY)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")


def legend_below(figure: Figure, axes: Axes, num_columns: int) -> None:
    """What is drawn on the axes, told below them."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=num_columns,
        frameon=False,
        fontsize=TEXT_POINTS,
    )


def png_bytes(figure: Figure) -> bytes:
    """The picture as a PNG file; the same figure gives the same bytes.

    Words are drawn as they are: what stands between dollars in them is no formula.
    """
    for words in figure.findobj(Text):
        assert isinstance(words, Text)
        words.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that the font does not have, as of another script, are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
