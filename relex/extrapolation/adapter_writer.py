"""An extrapolated adapter: the predicted displacement, compressed to a rank.

R directions, M rows and N columns of a weight, K columns of a product.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch

from relex.atomic import new_folder, write_atomic
from relex.checkpoints import Checkpoint, TensorFileWriter, TensorInfo
from relex.config.extrapolation import PredictionOptions
from relex.config.strict import Strict
from relex.errors import FactorsError
from relex.extrapolation.checks import check_prediction
from relex.extrapolation.factors import Factors
from relex.extrapolation.predict import (
    THE_LINE,
    check_base,
    predict_coefficients,
    predict_tensor,
)
from relex.extrapolation.products import compress
from relex.window import LowRank, joined
from relex.window.adapter_config import CONFIG_FILE
from relex.window.adapter_folder import ADAPTER_FILE, Adapted

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
    step: int,
    out: Path,
    rank: int,
    options: PredictionOptions = THE_LINE,
) -> Compression:
    """Write the adapter at `step` as PEFT does, to the new folder `out`; returns its errors.

    The products have scale 1 and are float32. Weights that were trained whole beside them are
    predicted as in a checkpoint. The errors are in `compression.json` too.

    Raises FactorsError when the factors are not of adapters or of another base, or step and options
    do not go with them, InputError when `out` exists, StorageError when the disk refuses.
    """
    check_prediction(str(factors.folder), factors.table, step, options)
    check_base(factors, base)
    if factors.products_file is None:
        raise FactorsError(f"{factors.folder}: was not fitted on adapters; predict a checkpoint")
    if options.needs_window:
        raise FactorsError(
            "an adapter is a displacement from the base, so it cannot start at the newest "
            "snapshot; predict a checkpoint, or leave anchor and norms as they are"
        )
    metadata = factors.products_file.metadata
    adapted = {name: Adapted(*it) for name, it in json.loads(metadata["adapted"]).items()}
    saved: dict[str, str] = json.loads(metadata["saved"])
    with new_folder(out) as partial:
        schema = _schema(base, adapted, saved, rank)
        squares: dict[str, tuple[float, float]] = {}
        with TensorFileWriter(partial / ADAPTER_FILE, schema, {"format": "pt"}) as writer:
            for name, one in adapted.items():
                product = _displacement(factors, base, name, step, options)
                small, dropped, whole = compress(product, rank)
                squares[name] = dropped, whole
                if one.is_transposed:
                    small = LowRank(small.right_KN.T, small.left_MK.T)
                writer.append(one.key_b, small.left_MK)
                writer.append(one.key_a, small.right_KN)
            for name, key in saved.items():
                writer.append(key, predict_tensor(factors, base, name, step, options))
        compression = _compression(rank, squares)
        write_atomic(partial / COMPRESSION_FILE, compression.model_dump_json(indent=1).encode())
        write_atomic(partial / CONFIG_FILE, _config(factors.folder / CONFIG_FILE, rank))
    return compression


def _displacement(
    factors: Factors, base: Checkpoint, name: str, step: int, options: PredictionOptions
) -> LowRank:
    if not factors.table.tensors[name].widths:
        rows, columns = base.tensors[name].shape
        return LowRank(torch.zeros(rows, 1), torch.zeros(1, columns))
    coefficient_R = predict_coefficients(factors.table, name, step, options)
    products = factors.read_products(name)[: len(coefficient_R)]
    return joined(products, coefficient_R.tolist())


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
