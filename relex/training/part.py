"""The part of a snapshot that one process has, on its way to the disk.

A model that is sharded over processes has of each tensor some rows in each of them, in their order.
Every process writes its own rows into a file of its own, so that nothing is gathered.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from relex.checkpoints import TensorFile, TensorInfo, write_tensor_file
from relex.checkpoints.tensor_file import open_tensor_file
from relex.errors import CheckpointError, TrainingError

State = Mapping[str, torch.Tensor]
Schema = dict[str, TensorInfo]


def part_path(folder: Path, step: int, part: int) -> Path:
    return folder / f"step_{step:06d}-{part}.safetensors"


def write_part(
    path: Path, step: int, state: State, schema: Schema, metadata: Mapping[str, str]
) -> None:
    """Write the tensors of `schema` that `state` has, cast to its dtypes.

    Raises TrainingError when one of them is of another shape or not finite, StorageError when the
    disk refuses.
    """
    tensors = ((name, state[name]) for name in schema if name in state)
    try:
        write_tensor_file(path, schema, tensors, metadata)
    except CheckpointError as error:
        raise TrainingError(
            f"step {step}: the weights cannot be kept: {error}; if they are not finite, "
            "training has diverged: lower training.learning_rate"
        ) from error


def own_part(state: State, schema: Schema, is_first: bool) -> tuple[State, Schema]:
    """This process's rows of the tensors in `schema`; what is whole in all is the first one's."""
    # Imported here because it takes a second that only a training needs.
    from torch.distributed.tensor import DTensor, Shard

    rows: dict[str, torch.Tensor] = {}
    for name in schema:
        tensor = state.get(name)
        if isinstance(tensor, DTensor):
            if tuple(tensor.placements) != (Shard(0),):
                raise TrainingError(f"{name}: is sharded as {tensor.placements}, not by rows")
            rows[name] = tensor.to_local()
        elif tensor is not None and is_first:
            rows[name] = tensor
    return rows, {
        name: TensorInfo(tuple(it.shape), schema[name].dtype) for name, it in rows.items()
    }


class PartWriter:
    """Writes one process's part of every snapshot in the background."""

    def __init__(
        self,
        folder: Path,
        schema: Schema,
        metadata: Mapping[str, str],
        part: int = 0,
        give: Callable[[Path], None] | None = None,
    ) -> None:
        """`schema` is that of whole snapshots; `give` moves what is written to where it is joined,
        when that is another machine."""
        folder.mkdir(parents=True, exist_ok=True)
        self._give = give
        self._folder, self._schema, self._metadata, self._part = folder, schema, metadata, part
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot-copy")
        self._copying: Future[None] | None = None

    def begin(self, step: int, state: State, make_room: Callable[[], None] | None = None) -> None:
        """Begin to write, after `make_room` returned: the weights must stay as they are until
        `copied` returns, which raises as `write_part`."""
        stream = _side_stream()

        def write() -> None:
            if make_room is not None:
                make_room()
            rows, schema = own_part(state, self._schema, is_first=self._part == 0)
            path = part_path(self._folder, step, self._part)
            with torch.cuda.stream(stream):
                write_part(path, step, rows, schema, self._metadata)
            if self._give is not None:
                self._give(path)

        self._copying = self._thread.submit(write)

    def copied(self) -> None:
        """Return when what was begun is on disk."""
        copying, self._copying = self._copying, None
        if copying is not None:
            copying.result()


class JoinedParts:
    """A snapshot whose rows are in several files, in their order."""

    def __init__(self, paths: Sequence[Path], schema: Schema) -> None:
        """Raises TrainingError when the rows of a tensor are not all there."""
        self.tensors = schema
        self._files = [open_tensor_file(path) for path in paths]
        for name, info in schema.items():
            found = sum(file.tensors[name].num_elements for file in self._with(name))
            if found != info.num_elements:
                raise TrainingError(
                    f"{paths[0]}: the processes have {found} of {info.num_elements} elements of "
                    f"{name}"
                )

    def read(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        stop = self.tensors[name].num_elements if stop is None else stop
        pieces, first = [], 0
        for file in self._with(name):
            last = first + file.tensors[name].num_elements
            if max(start, first) < min(stop, last):
                pieces.append(file.read(name, max(start, first) - first, min(stop, last) - first))
            first = last
        if len(pieces) == 1:
            return pieces[0]
        return torch.cat(pieces) if pieces else torch.empty(0, dtype=self.tensors[name].dtype)

    def _with(self, name: str) -> list[TensorFile]:
        return [file for file in self._files if name in file.tensors]


def _side_stream() -> torch.cuda.Stream | None:
    """Goes on beside what the trainer queues from now on; None where there is no GPU."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    return stream
