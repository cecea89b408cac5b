"""Fits a window of adapters, tensor by tensor, and keeps the bases as products.

`products.safetensors` holds per adapted tensor the products of all vectors of its basis side by
side: `<name>.left` (M x K) and `<name>.right` (K x N), float32.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

import torch

from relex.checkpoints import TensorFileWriter, TensorInfo
from relex.extrapolation.factors import PRODUCTS_FILE, FactorsTable, TensorFit
from relex.extrapolation.fit_table import fit_tensor
from relex.extrapolation.method import Method
from relex.extrapolation.products import stack, weighted_sums
from relex.window import AdapterWindow
from relex.window.adapter_config import CONFIG_FILE


def fit_products(
    window: AdapterWindow,
    names: Sequence[str],
    table: FactorsTable,
    methods: Sequence[Method],
    folder: Path,
    on_progress: Callable[[int, int], None],
) -> dict[str, TensorFit]:
    """Fit the adapted tensors among `names`, and write their products to `folder`.

    Those that no adapter touches are there too, without directions. Memory is that of one tensor's
    adapters at all steps. Raises WindowError when an adapter is not finite, StorageError when the
    disk refuses.
    """
    adapted = [name for name in names if name in window.adapted]
    still_SS = torch.zeros(len(table.steps), len(table.steps), dtype=torch.float64)
    still, _ = fit_tensor(still_SS, table.steps, table.rank, methods)
    fits = dict.fromkeys(names, still)
    later = [f"{name}.{side}" for name in adapted for side in ("left", "right")]
    with TensorFileWriter(folder / PRODUCTS_FILE, {}, _metadata(window), later) as writer:
        for num_done, name in enumerate(adapted, start=1):
            fits[name] = _fit(window, name, table, methods, writer)
            on_progress(num_done, len(adapted))
    (folder / CONFIG_FILE).write_text(window.newest_config)
    return fits


def _fit(
    window: AdapterWindow,
    name: str,
    table: FactorsTable,
    methods: Sequence[Method],
    writer: TensorFileWriter,
) -> TensorFit:
    products = [window.product(step, name) for step in table.steps]
    stacked = stack(products)
    fit, basis = fit_tensor(stacked.gram(), table.steps, table.rank, methods)
    vectors = weighted_sums(stacked, torch.from_numpy(basis.sum_BS))
    vectors += [products[row] for row in basis.snapshots]
    if vectors:
        left_MK = torch.cat([product.left_MK for product in vectors], dim=1)
        right_KN = torch.cat([product.right_KN for product in vectors])
        for side, tensor in (("left", left_MK), ("right", right_KN)):
            writer.add(f"{name}.{side}", TensorInfo(tuple(tensor.shape), tensor.dtype))
            writer.append(f"{name}.{side}", tensor)
    return fit.model_copy(update={"widths": tuple(len(p.right_KN) for p in vectors)})


def _metadata(window: AdapterWindow) -> dict[str, str]:
    """What an adapter like those of the window is written from."""
    adapted = {name: astuple(adapted) for name, adapted in window.adapted.items()}
    return {"adapted": json.dumps(adapted), "saved": json.dumps(window.saved)}
