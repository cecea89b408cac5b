"""A look at a window of adapters sees what a fit of it sees."""

import numpy as np

from relex.extrapolation.window_grams import window_grams
from relex.window import open_window


def test_the_products_are_those_of_the_fit(adapters_of, base, fit, tmp_path) -> None:
    folder = adapters_of("plain")
    fits = fit(folder, base, tmp_path / "factors").table.tensors
    grams = window_grams(open_window(str(folder), base=base), base)
    moved = {name for name, one in fits.items() if one.directions}
    assert moved <= grams.keys()
    for name, gram_SS in grams.items():
        assert np.allclose(gram_SS, fits[name].gram_SS, rtol=1e-12)
