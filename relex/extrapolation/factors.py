"""Factors: the Gram matrices and the bases of all tensors, in a folder.

`factors.safetensors` holds the vectors of the bases, `factors.json` everything else, and
`manifest.json` is written last. The vectors of adapters are products of two thin matrices, in
`products.safetensors`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from relex.checkpoints.tensor_file import TensorFile
from relex.errors import CheckpointError, FactorsError
from relex.extrapolation.basis import Basis
from relex.extrapolation.basis_file import BASIS_FILE, BasisFile, SpanOfBasis
from relex.extrapolation.line_fit import Line
from relex.extrapolation.subspace import Array
from relex.storage.folder import FolderStore
from relex.storage.manifest import read_manifest
from relex.strict import Strict
from relex.window.low_rank import LowRank

KIND = "factors"
PRODUCTS_FILE = "products.safetensors"
TABLE_FILE = "factors.json"


class DirectionFit(Strict):
    """One direction of a tensor, without its elements."""

    sigma: float
    """Singular value: the norm of the coefficients."""

    coefficients: tuple[float, ...]
    """Length of the displacement along the direction at each step of the window."""

    line: Line
    """Fitted to the coefficients."""


class TensorFit(Strict):
    """What the window says about one tensor."""

    squared_norm: float
    """Squared norm of the displacements of all steps together."""

    directions: tuple[DirectionFit, ...]
    """By falling sigma; empty where the tensor never moved."""

    gram: tuple[tuple[float, ...], ...]
    """Inner products of the displacements: row s holds those of step s with steps 0 to s."""

    dense: tuple[tuple[float, ...], ...] = ()
    """Weights of the displacements in the basis's dense sums, each as long as the steps."""

    snapshots: tuple[int, ...] = ()
    """The steps of the basis's single snapshots."""

    widths: tuple[int, ...] = ()
    """Where the basis is kept as products: the columns of the left factor of each vector."""

    @property
    def gram_SS(self) -> Array:
        """The whole Gram matrix, float64."""
        gram_SS = np.zeros((len(self.gram), len(self.gram)))
        for row, products in enumerate(self.gram):
            gram_SS[row, : row + 1] = gram_SS[: row + 1, row] = products
        return gram_SS

    def basis(self, steps: Sequence[int]) -> Basis:
        """The basis of the tensor; `steps` are those of the fit."""
        directions = [np.array(one.coefficients) / one.sigma**2 for one in self.directions]
        no_rows = np.zeros((0, len(steps)))
        return Basis(
            np.array(directions) if directions else no_rows,
            np.array(self.dense) if self.dense else no_rows,
            tuple(steps.index(step) for step in self.snapshots),
        )


class FactorsTable(Strict):
    """The content of `factors.json`."""

    base_digest: str
    """The base that the displacements start from."""

    steps: tuple[int, ...]
    """Steps that the lines were fitted on, ascending."""

    rank: int
    """Most directions that a tensor may have."""

    methods: tuple[str, ...] = ()
    """Those that the bases were made for; the directions alone serve the paper's line."""

    part: tuple[int, int] | None = None
    """Number of this part and of all parts; the other tensors are in the other parts."""

    tensors: dict[str, TensorFit]
    """By name; tensors that do not hold floating-point numbers are not among them."""


@dataclass(frozen=True)
class SpanOfProducts:
    """The basis of one span of an adapted tensor, in which all elements may move."""

    products: list[LowRank]
    num_sums: int
    start: int
    stop: int
    position_M: None = None

    def sum(self, row: int) -> torch.Tensor:
        """One of the directions and other sums, float32."""
        return self.products[row].read(self.start, self.stop)

    def snapshot(self, row: int, start_M: torch.Tensor) -> torch.Tensor:
        """The displacement of one of the single snapshots, whatever the base's weights; float32."""
        product = self.products[self.num_sums + row]
        return product.read(self.start, self.stop).to(start_M.device)

    def weights(self, row: int, start_M: torch.Tensor) -> torch.Tensor:
        """The weights of one of the single snapshots, in the base's dtype."""
        return (start_M.float() + self.snapshot(row, start_M)).to(start_M.dtype)


@dataclass
class Factors:
    """Opened factors; vectors stay on disk until they are read."""

    folder: Path
    table: FactorsTable
    basis_file: BasisFile
    products_file: TensorFile | None = None
    """Of a window of adapters."""

    _last_read: tuple[str, list[LowRank]] = field(default=("", []), init=False, repr=False)
    """Products of the tensor that was read last, for it is read in many pieces."""

    @property
    def last_step(self) -> int:
        return self.table.steps[-1]

    def read_span(self, name: str, start: int, stop: int) -> SpanOfBasis | SpanOfProducts:
        """The basis in elements [start, stop); raises FactorsError when the file ends early."""
        fit = self.table.tensors[name]
        if not fit.widths:
            return self.basis_file.read(name, start, stop)
        num_sums = len(fit.directions) + len(fit.dense)
        return SpanOfProducts(self.read_products(name), num_sums, start, stop)

    def read_products(self, name: str) -> list[LowRank]:
        """The vectors of an adapted tensor: directions, dense sums, single snapshots."""
        last_read = self._last_read  # of whichever thread
        if last_read[0] != name:
            self._last_read = last_read = name, self._read_products(name)
        return last_read[1]

    def _read_products(self, name: str) -> list[LowRank]:
        assert self.products_file is not None
        widths = list(self.table.tensors[name].widths)
        left_MK = self.products_file.read_tensor(f"{name}.left")
        right_KN = self.products_file.read_tensor(f"{name}.right")
        pairs = zip(torch.split(left_MK, widths, 1), torch.split(right_KN, widths), strict=True)
        return [LowRank(left, right) for left, right in pairs]


def open_factors(folder: Path) -> Factors:
    """Factors that `fit_factors` wrote.

    Raises FactorsError when the folder is not whole: no manifest, or a file that is missing,
    of another size or unreadable. Digests are checked where factors are fetched, not here.
    """
    _check_sizes(folder)
    table = _read_table(folder / TABLE_FILE)
    store = FolderStore(folder)
    try:
        basis_file = BasisFile(folder)
        has_products = store.size(PRODUCTS_FILE) is not None
        products_file = TensorFile(store, PRODUCTS_FILE) if has_products else None
    except CheckpointError as error:
        raise FactorsError(f"{error}") from error
    return Factors(folder, table, basis_file, products_file)


def _check_sizes(folder: Path) -> None:
    store = FolderStore(folder)
    manifest = read_manifest(store, KIND)
    if manifest is None:
        raise FactorsError(f"{folder}: has no manifest, so it holds no finished factors; fit again")
    for name in {TABLE_FILE, BASIS_FILE, *manifest.files}:
        expected = manifest.files[name].size_bytes if name in manifest.files else None
        found = store.size(name)
        if found != expected or found is None:
            raise FactorsError(
                f"{folder / name}: has {found} bytes, its manifest says {expected}; fit again"
            )


def _read_table(path: Path) -> FactorsTable:
    try:
        return FactorsTable.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FactorsError(f"{path}: damaged: {' '.join(str(error).split())}") from error
