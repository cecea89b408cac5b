"""The table of a delta file: what its tensors are and where their blocks' streams lie.

It is JSON in the metadata of the safetensors file, so that the file can be understood on its own.
"""

import zlib
from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated

from pydantic import Field, NonNegativeInt, ValidationError

from relex.checkpoints import TensorInfo
from relex.checkpoints.tensor_file import DTYPES
from relex.errors import WindowError
from relex.strict import Strict
from relex.window.codec.block import LARGEST_BLOCK_ELEMENTS, BlockFacts

FORMAT = "relex-delta-2"


class TensorTable(Strict):
    """One tensor of the snapshot."""

    dtype: str
    """As safetensors calls it."""

    shape: tuple[NonNegativeInt, ...]

    blocks: tuple[BlockFacts, ...]
    """In the order of the elements; their streams follow each other in the tensor's entry."""

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.shape, DTYPES[self.dtype])

    @property
    def block_offsets(self) -> list[int]:
        """Where each block begins in the tensor's entry, and where the last one ends."""
        return list(accumulate((sum(block.stream_bytes) for block in self.blocks), initial=0))


class DeltaTable(Strict):
    """All tensors of the snapshot."""

    block_elements: Annotated[int, Field(ge=1, le=LARGEST_BLOCK_ELEMENTS)]
    """Elements of every block but the last of a tensor."""

    tensors: dict[str, TensorTable]

    def pack(self) -> dict[str, str]:
        """As metadata of a safetensors file; with a crc32, for nothing else guards the header."""
        text = self.model_dump_json()
        return {"format": FORMAT, "crc32": _crc32(text), "table": text}


def unpack_table(where: str, metadata: object, payloads: Mapping[str, TensorInfo]) -> DeltaTable:
    """The table in a file's metadata, checked against the file's entries.

    Raises WindowError when there is none, or it is damaged or contradicts the entries.
    """
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise WindowError(f"{where}: is no delta file that this version of relex can read")
    text = str(metadata.get("table"))
    if metadata.get("crc32") != _crc32(text):
        raise WindowError(f"{where}: its table is damaged; copy the file again")
    try:
        table = DeltaTable.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WindowError(
            f"{where}: its table cannot be understood: {'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}; another version of relex may have written it"
        ) from error
    if list(table.tensors) != list(payloads):
        raise WindowError(f"{where}: its table and its entries name different tensors")
    for name, tensor in table.tensors.items():
        _check_tensor(f"{where}: {name}", tensor, payloads[name], table.block_elements)
    return table


def _check_tensor(
    where: str, tensor: TensorTable, payload: TensorInfo, block_elements: int
) -> None:
    if tensor.dtype not in DTYPES:
        raise WindowError(f"{where}: has dtype {tensor.dtype}, known are {', '.join(DTYPES)}")
    if len(tensor.blocks) != -(-tensor.info.num_elements // block_elements):
        raise WindowError(
            f"{where}: shape {list(tensor.shape)} does not fit its {len(tensor.blocks)} blocks "
            f"of {block_elements} elements"
        )
    expected_bytes = tensor.block_offsets[-1]
    if expected_bytes != payload.num_bytes:
        raise WindowError(
            f"{where}: has {payload.num_bytes} bytes, its table says {expected_bytes}"
        )


def _crc32(text: str) -> str:
    return f"{zlib.crc32(text.encode(errors='backslashreplace')):08x}"
