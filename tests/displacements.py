"""Predicted displacements before they are added to the base and rounded."""

import torch

from relex.extrapolation import Factors, Method
from relex.extrapolation.predict import LINE, coefficients


def predict_displacement(
    factors: Factors, name: str, target: int, method: Method = LINE
) -> torch.Tensor:
    """The displacement of `name` by a method without single snapshots: flattened, float32."""
    found = coefficients(factors.table, name, method, target)
    assert not found.of_snapshots
    products = factors.read_products(name) if factors.table.tensors[name].widths else []
    in_basis = factors.basis_file.file.metadata
    num_elements = products[0].num_elements if products else int(in_basis[name])
    span = factors.read_span(name, 0, num_elements)
    num_moved = num_elements if span.position_M is None else len(span.position_M)
    moved_M = torch.zeros(num_moved)
    for row, factor in found.of_sums:
        moved_M += span.sum(row) * factor
    if span.position_M is None:
        return moved_M
    return torch.zeros(num_elements).index_put((span.position_M,), moved_M)
