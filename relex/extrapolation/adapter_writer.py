"""An extrapolated adapter: the predicted displacement, compressed to a rank.

M rows and N columns of a weight, K columns of a product.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint, TensorFileWriter, TensorInfo
from relex.errors import FactorsError
from relex.extrapolation.basis import Coefficients
from relex.extrapolation.factors import Factors
from relex.extrapolation.method import Method
from relex.extrapolation.predict import LINE, Predictor
from relex.extrapolation.products import compress
from relex.parts import ALL, Part
from relex.storage.atomic import new_folder, write_atomic
from relex.strict import Strict
from relex.window import LowRank, joined
from relex.window.adapted import Adapted
from relex.window.adapter_config import CONFIG_FILE
from relex.window.adapter_folder import ADAPTER_FILE

COMPRESSION_FILE = "compression.json"


class Compression(Strict):
    """What the rank of an adapter costs: Frobenius norms relative to the displacement's."""

    rank: int
    """Columns of every product."""

    error: float
    """Of all displacements together."""

    error_of: dict[str, float]
    """By tensor; 0 where nothing moves."""


def write_adapter(
    factors: Factors,
    base: Checkpoint,
    target: int,
    out: Path,
    rank: int,
    method: Method = LINE,
    part: Part = ALL,
) -> Compression:
    """Write the adapter at `target` as PEFT does, to the new folder `out`; returns its errors.

    The products have scale 1 and are float32. Weights that were trained whole beside them are
    predicted as in a checkpoint. The errors are in `compression.json` too.

    Raises FactorsError when the factors are not of adapters or of another base, or the method does
    not go to the target or was not fitted, InputError when `out` exists, StorageError when the
    disk refuses.
    """
    predictor = Predictor(factors, base, method, [target], part=part)
    if factors.products_file is None:
        raise FactorsError(f"{factors.folder}: was not fitted on adapters; predict a checkpoint")
    metadata = factors.products_file.metadata
    adapted = {name: Adapted(*it) for name, it in json.loads(metadata["adapted"]).items()}
    saved: dict[str, str] = json.loads(metadata["saved"])
    with new_folder(out) as partial:
        schema = _schema(base, adapted, saved, rank)
        squares: dict[str, tuple[float, float]] = {}
        with TensorFileWriter(partial / ADAPTER_FILE, schema, {"format": "pt"}) as writer:
            for name, one in adapted.items():
                product = _displacement(factors, base, name, predictor.coefficients_of[name][0])
                small, dropped, whole = compress(product, rank)
                squares[name] = dropped, whole
                if one.is_transposed:
                    small = LowRank(small.right_KN.T, small.left_MK.T)
                writer.append(one.key_b, small.left_MK)
                writer.append(one.key_a, small.right_KN)
            for name, key in saved.items():
                writer.append(key, predictor.tensor(name))
        compression = _compression(rank, squares)
        write_atomic(partial / COMPRESSION_FILE, compression.model_dump_json(indent=1).encode())
        write_atomic(partial / CONFIG_FILE, _config(factors.folder / CONFIG_FILE, rank))
    return compression


def _displacement(factors: Factors, base: Checkpoint, name: str, found: Coefficients) -> LowRank:
    if not found.factors:
        rows, columns = base.tensors[name].shape
        return LowRank(torch.zeros(rows, 1), torch.zeros(1, columns))
    fit, products = factors.table.tensors[name], factors.read_products(name)
    num_sums = len(fit.directions) + len(fit.dense)
    numbers = [row for row, _ in found.of_sums] + [num_sums + row for row, _ in found.of_snapshots]
    return joined([products[number] for number in numbers], found.factors)


def _schema(
    base: Checkpoint, adapted: Mapping[str, Adapted], saved: Mapping[str, str], rank: int
) -> dict[str, TensorInfo]:
    schema = {}
    for name, one in adapted.items():
        rows, columns = base.tensors[name].shape
        num_outputs, num_inputs = (columns, rows) if one.is_transposed else (rows, columns)
        schema[one.key_b] = TensorInfo((num_outputs, rank), torch.float32)
        schema[one.key_a] = TensorInfo((rank, num_inputs), torch.float32)
    return schema | {key: base.tensors[name] for name, key in saved.items()}


def _compression(rank: int, squares: Mapping[str, tuple[float, float]]) -> Compression:
    dropped = sum(one for one, _ in squares.values())
    whole = sum(two for _, two in squares.values())
    return Compression(
        rank=rank,
        error=math.sqrt(dropped / whole) if whole else 0.0,
        error_of={n: math.sqrt(one / two) if two else 0.0 for n, (one, two) in squares.items()},
    )


def _config(path: Path, rank: int) -> bytes:
    """The config of the newest adapter, with one rank and scale 1 everywhere."""
    same = {"r": rank, "lora_alpha": rank, "use_rslora": False, "init_lora_weights": True}
    config = json.loads(path.read_text()) | same | {"rank_pattern": {}, "alpha_pattern": {}}
    return json.dumps(config, indent=2).encode()
