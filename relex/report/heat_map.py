"""Layer by module: where the weights keep to a line, and where a forecast of them holds.

L layers, M modules.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from relex.extrapolation import Diagnostics
from relex.extrapolation.subspace import Array
from relex.report import style
from relex.report.style import layer_of, module_of, shorten

# From the input of a layer to its output; other modules follow in the order of the file.
MODULES = (
    "input_layernorm",
    "q_proj",
    "k_proj",
    "v_proj",
    "q_norm",
    "k_norm",
    "o_proj",
    "post_attention_layernorm",
    "gate_proj",
    "up_proj",
    "down_proj",
)
OUTSIDE = "-"
"""The row of tensors outside the layers."""

MOST_ANNOTATED_LAYERS, MOST_ANNOTATED_MODULES = 16, 16
MOST_OUTSIDE = 6
MOST_TICKS = 13
NAME_CHARACTERS = 19
LABEL_POINTS, CELL_POINTS = 8.0, 6.5
LAYER_INCHES, FEWEST_INCHES, MOST_INCHES = 0.22, 1.6, 8.0
REST_INCHES = 2.7
MISSING = "#dddddd"

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Grid:
    """One number by layer and module, NaN where there is none."""

    layers: tuple[str, ...]
    modules: tuple[str, ...]
    value_LM: Array


def heat_map_picture(diagnostics: Diagnostics) -> bytes:
    """PNG of the explained fraction and the forecast skill, side by side.

    Tensors outside the layers stand in a last row; cells that several share show their mean.
    """
    found = diagnostics.tensors
    explained = {name: one.explained_fraction for name, one in found.items()}
    skill = {name: one.forecast_skill.over_staying for name, one in found.items()}
    inches = LAYER_INCHES * len(layer_grid(explained).layers)
    inches = min(max(inches, FEWEST_INCHES), MOST_INCHES)
    figure = style.new_figure(inches + REST_INCHES, _title(diagnostics))
    walk = diagnostics.random_walk.explained_fraction or 0.0
    low = min([walk, *(value for value in explained.values() if value is not None)])
    left, right = figure.subplots(1, 2)
    _draw(left, "explained fraction", explained, "cividis", low)
    _draw(right, "forecast skill (0: no better than staying)", skill, "RdBu", -1.0)
    left.set_ylabel("layer", fontsize=style.TEXT_POINTS)
    return style.png_bytes(figure)


def layer_grid(values: Values) -> Grid:
    """Tensors by layer and module, and below the layers the first ones outside of them."""
    outside = [name for name in values if layer_of(name) is None][:MOST_OUTSIDE]
    cells: dict[tuple[int | None, str], list[float]] = {}
    for name, value in values.items():
        if layer_of(name) is not None or name in outside:
            place = layer_of(name), module_of(name)
            cells.setdefault(place, []).extend([] if value is None else [value])
    layers = sorted({layer for layer, _ in cells}, key=lambda layer: (layer is None, layer))
    known = {module: number for number, module in enumerate(MODULES)}
    within = dict.fromkeys(module for layer, module in cells if layer is not None)
    ordered = sorted(within, key=lambda module: known.get(module, len(known)))
    modules = list(dict.fromkeys([*ordered, *(module for _, module in cells)]))
    value_LM = np.full((len(layers), len(modules)), np.nan)
    for (layer, module), found in cells.items():
        if found:
            value_LM[layers.index(layer), modules.index(module)] = np.mean(found)
    return Grid(
        tuple(OUTSIDE if layer is None else str(layer) for layer in layers),
        tuple(modules),
        value_LM,
    )


def _title(diagnostics: Diagnostics) -> str:
    moved = [found for found in diagnostics.tensors.values() if found.movement_fraction]
    if not moved:
        return "No weight moved"
    explained = np.median([found.explained_fraction or 0.0 for found in moved])
    words = f"{explained:.1%} explained (median)"
    skills = [found.forecast_skill.over_staying for found in moved]
    known = [skill for skill in skills if skill is not None]
    if not known:
        return words
    return (
        f"{words}; {sum(skill > 0 for skill in known)} of {len(known)} forecasts beat staying put"
    )


def _draw(axes: Axes, words: str, values: Values, colours: str, low: float) -> None:
    scale, grid = ScalarMappable(Normalize(low, 1.0), colours), layer_grid(values)
    axes.set_facecolor(MISSING)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=LABEL_POINTS, colors=style.GREY)
    axes.set_title(words, loc="left", fontsize=style.TEXT_POINTS, color=style.GREY)
    axes.imshow(scale.to_rgba(grid.value_LM), aspect="auto")
    labels = [shorten(module, NAME_CHARACTERS) for module in grid.modules]
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    stride = -(-len(grid.layers) // MOST_TICKS)
    axes.set_yticks(range(0, len(grid.layers), stride), grid.layers[::stride])
    if len(grid.layers) <= MOST_ANNOTATED_LAYERS and len(labels) <= MOST_ANNOTATED_MODULES:
        _annotate(axes, grid, scale)
    is_cut = any(value is not None and value < low for value in values.values())
    extend = "min" if is_cut else "neither"
    bar = axes.figure.colorbar(scale, ax=axes, fraction=0.05, pad=0.02, extend=extend)
    bar.ax.tick_params(labelsize=LABEL_POINTS, colors=style.GREY)
    bar.outline.set_visible(False)


def _annotate(axes: Axes, grid: Grid, scale: ScalarMappable) -> None:
    """The numbers in the cells, dark on light and light on dark."""
    for (row, column), value in np.ndenumerate(grid.value_LM):
        if np.isnan(value):
            continue
        red, green, blue, _ = scale.to_rgba(np.array([value]))[0]
        is_dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        axes.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=CELL_POINTS,
            color="white" if is_dark else style.BLACK,
        )
