"""How pictures look: drawn without global state, sharp at 900 pixels wide; short names in them."""

import io
import re
import warnings
from functools import partial
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from relex.visible import one_line

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK = "#222222"
GREY = "#6e6e6e"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
WINDOW_SHADE = "#e9eef3"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

WIDTH_INCHES = 9.0
NARROW_INCHES = 4.5
"""Of a picture for a telephone, whose words take more of its room."""

DOTS_PER_INCH = 200
TITLE_POINTS, TITLE_CHARACTERS_PER_INCH = 13, 9.0
TEXT_POINTS = 10
LAYER = re.compile(r"\.(\d+)\.")


def new_figure(height_inches: float, title: str, width_inches: float = WIDTH_INCHES) -> Figure:
    """An empty figure whose title, on as many lines as it needs, states the finding."""
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    most_characters = round(TITLE_CHARACTERS_PER_INCH * width_inches)
    title = "\n".join(fill(line, most_characters) for line in title.splitlines())
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


def shade_window(axes: Axes, last_step: int, words: str, has_beyond: bool = True) -> None:
    """Shade what was trained; labels stand above the axes, where no point can be."""
    axes.axvspan(0, last_step, color=WINDOW_SHADE, zorder=0, linewidth=0)
    write = partial(axes.text, fontsize=TEXT_POINTS, color=GREY, va="bottom")
    write(0, 1.01, words, transform=axes.get_xaxis_transform())
    if has_beyond:
        write(1, 1.01, "extrapolated", transform=axes.transAxes, ha="right")


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
        _settle(figure)
        figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Fix the layout: its solver's last digits differ from one time to the next, and pixels hang on
    them."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position().get_points().round(4)))


def short_name(name: str) -> str:
    """The name without what all names share."""
    return name.removeprefix("model.").removesuffix(".weight")


def kind_of(name: str) -> str:
    """The name without its numbers: the same for the tensors that do the same in every layer."""
    return LAYER.sub(".", name)


def layer_of(name: str) -> int | None:
    """Number of the tensor's layer; None for one outside the layers."""
    found = LAYER.search(name)
    return int(found[1]) if found else None


def module_of(name: str) -> str:
    """What the tensor is called within its layer, such as `q_proj`; outside, its short name."""
    found = LAYER.search(name)
    if found is None:
        return short_name(name)
    inside = kind_of(name[found.end() :].removesuffix(".weight"))
    return re.sub(r"^(self_attn|mlp)\.", "", inside)


def shorten(name: str, num_characters: int) -> str:
    """The short name, without its middle where it is too long.

    Layers differ at the start, modules at the end.
    """
    return one_line(short_name(name), num_characters)


def show(value: float | None, num_digits: int = 2) -> str:
    """A number, or `-` for one that cannot be known."""
    return "-" if value is None else f"{value:.{num_digits}f}"
