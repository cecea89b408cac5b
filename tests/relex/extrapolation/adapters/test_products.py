"""Products of thin matrices against the dense matrices that they stand for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relex.extrapolation.products import SUM_ERROR, compress, stack, weighted_sums
from relex.extrapolation.subspace import leading_subspace
from relex.window import LowRank, joined

sizes = st.integers(1, 12)
seeds = st.integers(0, 2**32 - 1)


def dense(product: LowRank) -> torch.Tensor:
    return product.left_MK.double() @ product.right_KN.double()


def trajectory(seed: int, num_rows: int, num_columns: int, width: int) -> list[LowRank]:
    """Six products that drift, as those of adapters do."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    drift_MK, start_KN = draw(num_rows, width), draw(width, num_columns)
    return [
        LowRank(
            1e-3 * (step * drift_MK + 0.3 * draw(num_rows, width)),
            start_KN + 0.01 * step * draw(width, num_columns),
        )
        for step in range(1, 7)
    ]


@given(seed=seeds, num_rows=sizes, num_columns=sizes, width=st.integers(1, 4))
def test_gram_and_directions_are_the_dense_ones(seed, num_rows, num_columns, width) -> None:
    products = trajectory(seed, num_rows, num_columns, width)
    displacement_SN = torch.stack([dense(product).reshape(-1) for product in products])
    stacked = stack(products)
    gram_SS = displacement_SN @ displacement_SN.T
    torch.testing.assert_close(stacked.gram(), gram_SS, rtol=1e-12, atol=1e-12 * gram_SS.max())
    subspace = leading_subspace(gram_SS, 1)
    (found,) = weighted_sums(stacked, (subspace.left_SR / subspace.sigma_R).T)
    expected = (subspace.left_SR[:, 0] / subspace.sigma_R[0]) @ displacement_SN
    assert float((dense(found).reshape(-1) - expected).norm()) <= 3 * SUM_ERROR


@given(seed=seeds, factor=st.floats(1e-6, 1e6))
def test_scaling_the_products_scales_the_gram_matrix(seed, factor) -> None:
    products = trajectory(seed, 7, 5, 3)
    scaled = [LowRank(factor * p.left_MK.double(), p.right_KN) for p in products]
    torch.testing.assert_close(
        stack(scaled).gram(), factor**2 * stack(products).gram(), rtol=1e-12, atol=0
    )


@given(seed=seeds, rank=st.integers(1, 9))
def test_compressing_drops_the_smallest_singular_values(seed, rank) -> None:
    whole = joined(trajectory(seed, 9, 8, 2), [1.0, -2.0, 0.5, 1.0, 3.0, 1.0])
    small, dropped, square = compress(whole, rank)
    assert small.left_MK.shape == (9, rank)
    assert small.right_KN.shape == (rank, 8)
    singular = torch.linalg.svdvals(dense(whole))
    assert dropped == pytest.approx(float(singular[rank:].square().sum()), rel=1e-6, abs=1e-15)
    assert square == pytest.approx(float(singular.square().sum()), rel=1e-9)
    left_out = float((dense(whole) - dense(small)).square().sum())
    assert left_out == pytest.approx(dropped, rel=1e-3, abs=1e-12 * square)
