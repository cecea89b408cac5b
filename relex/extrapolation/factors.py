"""Factors: the directions, coefficients and lines of all tensors, in a folder.

N elements of one tensor, R directions.

`factors.safetensors` holds the directions, `factors.json` everything else, and `manifest.json` is
written last. The directions of adapters are products of two thin matrices, in
`products.safetensors`.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError

from relex.checkpoints.tensor_file import TensorFile
from relex.config.extrapolation import Convention
from relex.config.strict import Strict
from relex.errors import CheckpointError, FactorsError
from relex.extrapolation.directions_file import DIRECTIONS_FILE, DirectionsFile
from relex.extrapolation.line_fit import Line
from relex.manifest import read_manifest
from relex.storage.folder import FolderStore
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

    widths: tuple[int, ...] = ()
    """Where the directions are kept as products: the columns of the left factor of each."""


class FactorsTable(Strict):
    """The content of `factors.json`."""

    base_digest: str
    """The base that the displacements start from."""

    steps: tuple[int, ...]
    """Steps that the lines were fitted on, ascending."""

    rank: int
    """Most directions that a tensor may have."""

    convention: Convention = "exact"
    """How displacements were taken and what the time axis counts."""

    part: tuple[int, int] | None = None
    """Number of this part and of all parts; the other tensors are in the other parts."""

    tensors: dict[str, TensorFit]
    """By name; tensors that do not hold floating-point numbers are not among them."""

    @property
    def positions(self) -> list[int]:
        """The steps on the time axis of the lines."""
        return [self.position(step) for step in self.steps]

    def position(self, step: int) -> int:
        """Where a step lies on the time axis of the lines.

        The published convention counts rows up to the end of the window, and steps from there on.
        """
        if self.convention == "exact":
            return step
        if step > self.steps[-1]:
            return len(self.steps) - 1 + step - self.steps[-1]
        return self.steps.index(step)


@dataclass
class Factors:
    """Opened factors; directions stay on disk until they are read."""

    folder: Path
    table: FactorsTable
    directions: DirectionsFile
    products_file: TensorFile | None = None
    """Of a window of adapters."""

    _last_read: tuple[str, list[LowRank]] = field(default=("", []), init=False, repr=False)
    """Products of the tensor that was read last, for it is read in many pieces."""

    @property
    def last_step(self) -> int:
        return self.table.steps[-1]

    def read_directions(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Elements [start, stop) of all directions of `name`: N x R, float32."""
        stop = self._num_elements(name) if stop is None else stop
        position_M, direction_MR = self.read_moved(name, start, stop)
        if position_M is None:
            return direction_MR
        direction_NR = torch.zeros(stop - start, direction_MR.shape[1])
        direction_NR[position_M] = direction_MR
        return direction_NR

    def read_moved(
        self, name: str, start: int, stop: int
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Of elements [start, stop): where those lie, from `start` on, whose directions may not be
        zero, int64, or None for all of them; and these, M x R, float32.

        Raises FactorsError when the file ends early.
        """
        if self.table.tensors[name].widths:
            products = self.read_products(name)
            return None, torch.stack([product.read(start, stop) for product in products], dim=1)
        try:
            return self.directions.read(name, start, stop)
        except CheckpointError as error:
            raise FactorsError(f"{error}") from error

    def _num_elements(self, name: str) -> int:
        if not self.table.tensors[name].widths:
            return self.directions.num_elements(name)
        product = self.read_products(name)[0]
        return len(product.left_MK) * product.right_KN.shape[1]

    def read_products(self, name: str) -> list[LowRank]:
        """The directions of an adapted tensor."""
        if self._last_read[0] != name:
            self._last_read = name, self._read_products(name)
        return self._last_read[1]

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
        directions = DirectionsFile(folder)
        has_products = store.size(PRODUCTS_FILE) is not None
        products_file = TensorFile(store, PRODUCTS_FILE) if has_products else None
    except CheckpointError as error:
        raise FactorsError(f"{error}") from error
    return Factors(folder, table, directions, products_file)


def _check_sizes(folder: Path) -> None:
    store = FolderStore(folder)
    manifest = read_manifest(store, KIND)
    if manifest is None:
        raise FactorsError(f"{folder}: has no manifest, so it holds no finished factors; fit again")
    for name in {TABLE_FILE, DIRECTIONS_FILE, *manifest.files}:
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
