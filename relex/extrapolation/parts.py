"""A fit shared by several processes: each takes a part of the tensors, and the parts are joined."""

import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from relex.checkpoints import Checkpoint, TensorFile, TensorFileWriter
from relex.digests import sha256_json
from relex.errors import FactorsError
from relex.extrapolation.basis_file import BASIS_FILE
from relex.extrapolation.displacements import PIECE_ELEMENTS, spans
from relex.extrapolation.factors import (
    KIND,
    PRODUCTS_FILE,
    TABLE_FILE,
    Factors,
    FactorsTable,
    open_factors,
)
from relex.storage.atomic import new_folder
from relex.storage.folder import FolderStore
from relex.storage.manifest import describe_folder, read_manifest, write_manifest
from relex.window.adapter_config import CONFIG_FILE

Part = tuple[int, int]
"""Number of the part, from 1 on, and number of all parts."""


def tensors_of_part(base: Checkpoint, part: Part | None) -> list[str]:
    """The base's tensors of a part, in order; all of them without a part.

    Parts are runs of neighbours with about as many elements each; with many parts some are empty.
    """
    if part is None:
        return list(base.tensors)
    number, num_parts = part
    num_total = sum(info.num_elements for info in base.tensors.values())
    names, num_before = [], 0
    for name, info in base.tensors.items():
        middle = num_before + info.num_elements / 2
        if min(int(middle * num_parts / max(num_total, 1)), num_parts - 1) == number - 1:
            names.append(name)
        num_before += info.num_elements
    return names


def merge_factors(folders: Sequence[Path], out: Path) -> Factors:
    """Join the factors of all parts of one fit in the new folder `out`: the bits of a single fit.

    Raises FactorsError when a part is missing, is there twice, or was fitted with other options or
    on another base, InputError when `out` exists, StorageError when the disk refuses.
    """
    parts = sorted((open_factors(folder) for folder in folders), key=_part_of)
    _check_complete(parts)
    with new_folder(out) as partial:
        _join([part.basis_file.file for part in parts], partial / BASIS_FILE)
        products = [part.products_file for part in parts if part.products_file is not None]
        if products:
            _join(products, partial / PRODUCTS_FILE)
            shutil.copyfile(parts[0].folder / CONFIG_FILE, partial / CONFIG_FILE)
        table = _common(parts[0].table).model_copy(
            update={"tensors": dict(chain.from_iterable(p.table.tensors.items() for p in parts))}
        )
        folder = FolderStore(partial)
        folder.put(TABLE_FILE, table.model_dump_json(indent=1).encode())
        write_manifest(folder, describe_folder(partial, KIND, _joint_inputs(parts)))
    return open_factors(out)


def _join(files: Sequence[TensorFile], path: Path) -> None:
    """All tensors and metadata of the files in one, piece by piece."""
    later = [name for file in files for name in file.tensors]
    metadata = dict(chain.from_iterable(file.metadata.items() for file in files))
    with TensorFileWriter(path, {}, metadata, later) as writer:
        for file in files:
            for name, info in file.tensors.items():
                writer.add(name, info)
                for span in spans(0, info.num_elements, PIECE_ELEMENTS):
                    writer.append(name, file.read(name, *span))


def _part_of(factors: Factors) -> Part:
    if factors.table.part is None:
        raise FactorsError(f"{factors.folder}: is whole already; give the parts of one fit")
    return factors.table.part


def _check_complete(parts: Sequence[Factors]) -> None:
    if not parts:
        raise FactorsError("no parts to merge; give the folders of all parts of one fit")
    first = parts[0]
    for part in parts[1:]:
        if _common(part.table) != _common(first.table) or _part_of(part)[1] != _part_of(first)[1]:
            raise FactorsError(
                f"{part.folder}: belongs to another fit than {first.folder} (base, steps, rank, "
                "methods or number of parts differ)"
            )
    found, num_parts = [_part_of(part)[0] for part in parts], _part_of(first)[1]
    for number in range(1, num_parts + 1):
        if found.count(number) != 1:
            raise FactorsError(
                f"part {number} of {num_parts} is there {found.count(number)} times; give each once"
            )


def _common(table: FactorsTable) -> FactorsTable:
    """What the parts of one fit have in common."""
    return table.model_copy(update={"tensors": {}, "part": None})


def _joint_inputs(parts: Sequence[Factors]) -> dict[str, str]:
    """The inputs of the parts; where each knows only its share of the window, a digest of those."""
    manifests = (read_manifest(FolderStore(part.folder), KIND) for part in parts)
    inputs = [manifest.inputs for manifest in manifests if manifest is not None]
    windows = [one["window"] for one in inputs]
    joint = windows[0] if len(set(windows)) == 1 else sha256_json(windows)
    return inputs[0] | {"window": joint}
