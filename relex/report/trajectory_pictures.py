"""The pictures of a fit: spectrum, coefficients with their forecast, layers by module."""

from pathlib import Path

from relex.extrapolation import Diagnostics, Factors
from relex.report.forecast_plot import forecast_picture
from relex.report.heat_map import heat_map_picture
from relex.report.spectrum_plot import spectrum_picture
from relex.storage.atomic import new_folder

SPECTRUM_PICTURE = "spectrum.png"
FORECAST_PICTURE = "coefficients.png"
HEAT_MAP_PICTURE = "heatmap.png"


def write_trajectory_pictures(factors: Factors, diagnostics: Diagnostics, out: Path) -> None:
    """`spectrum.png`, `coefficients.png` and `heatmap.png` of a fit, in the new folder `out`.

    Raises InputError when `out` exists.
    """
    pictures = {
        SPECTRUM_PICTURE: spectrum_picture(factors.table, diagnostics),
        FORECAST_PICTURE: forecast_picture(factors, diagnostics),
        HEAT_MAP_PICTURE: heat_map_picture(diagnostics),
    }
    with new_folder(out) as partial:
        for name, data in pictures.items():
            (partial / name).write_bytes(data)
