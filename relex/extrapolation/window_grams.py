"""The Gram matrices of a window while it grows, from a sample of each tensor's elements.

S steps.

A look at the window is taken every few steps of a training, so it must not cost what a fit does: of
each tensor one piece is read, in its middle, and nothing is written. That is all of a small tensor,
and of a large one enough for the cosines and shares that a look is made of, which are sums over
many tensors.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from relex.checkpoints import Checkpoint
from relex.extrapolation.displacements import PieceReader
from relex.extrapolation.gram import piece_gram
from relex.extrapolation.products import stack
from relex.extrapolation.subspace import Array
from relex.window import AdapterWindow, Window

NUM_THREADS = 4
"""They wait for the storage. How many threads torch has is left alone: a training goes on after
the look, and sums with another number of threads are other sums."""


def window_grams(window: Window, base: Checkpoint) -> dict[str, Array]:
    """Inner products of the sampled displacements by tensor, S x S, float64; of adapters, those of
    the products. Raises as `fit_factors` when something cannot be read."""
    if isinstance(window, AdapterWindow):
        return {name: _gram_of_products(window, name) for name in window.adapted}
    reader, local = PieceReader(window, base, window.steps), threading.local()

    def prepare() -> None:
        local.buffer = torch.empty(reader.buffer_bytes, dtype=torch.uint8)

    def gram_of(name: str) -> Array:
        size = reader.piece_elements
        num_elements = base.tensors[name].num_elements
        start = (num_elements - 1) // size // 2 * size
        piece = reader.read(name, (start, min(start + size, num_elements)), local.buffer)
        gram_SS: Array = piece_gram(piece).gram_SS.numpy()
        return gram_SS

    names = [name for name, info in base.tensors.items() if info.dtype.is_floating_point]
    with ThreadPoolExecutor(NUM_THREADS, initializer=prepare) as pool:
        return dict(zip(names, pool.map(gram_of, names), strict=True))


def _gram_of_products(window: AdapterWindow, name: str) -> Array:
    products = [window.product(step, name) for step in window.steps]
    gram_SS: Array = stack(products).gram().numpy()
    return gram_SS
