"""Whether two checkpoints hold the same tensors."""

from collections.abc import Mapping

from relex.checkpoints.tensor_file import TensorInfo
from relex.errors import CheckpointError, RelexError


def check_same_tensors(
    where: str,
    found: Mapping[str, TensorInfo],
    expected: Mapping[str, TensorInfo],
    other: str = "the base",
    *,
    dtypes_too: bool = False,
    error: type[RelexError] = CheckpointError,
) -> None:
    """Raise `error`, naming the tensor, unless names and shapes are those of `other`, and dtypes
    where these count too."""
    if missing := sorted(expected.keys() - found.keys()):
        raise error(f"{where}: lacks {_named(missing)}, which {other} has")
    if extra := sorted(found.keys() - expected.keys()):
        raise error(f"{where}: has {_named(extra)}, which {other} lacks")
    for name, info in found.items():
        if info.shape != expected[name].shape or (dtypes_too and info != expected[name]):
            raise error(f"{where}: {name} is {info}, in {other} it is {expected[name]}")


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} tensors ({names[0]}, ...)"
