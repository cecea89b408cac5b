"""Snapshots on their way from the trainer to the window.

Weights stand still from one update to the next, while completions are generated and graded. In that
time one background thread spools them to disk, tensor by tensor (each process its own rows of a
model that is sharded), and another compares them there with those of the step before, piece by
piece, and stores what changed. So a snapshot is never held in memory twice nor gathered, and
training waits only when an update comes before the weights are on disk, or when `MAX_PENDING`
snapshots are not stored.

The codec would compare two snapshots on a GPU as well, but then the one before has to stay there: 2
to 4 bytes per weight of the memory that training is short of, and training waits while it is
encoded. Encoding on the CPU keeps up (tests/bench/bench_codec.py).
"""

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from relex.checkpoints import Checkpoint, TensorInfo, check_same_tensors
from relex.checkpoints.raw_bytes import raw_bytes
from relex.config.training import KeptDtype, SnapshotDtype
from relex.errors import CheckpointError, RelexError, UploadError
from relex.storage.atomic import writing
from relex.training.events import SnapshotStored, send
from relex.training.part import JoinedParts, Schema, State, part_path, write_part
from relex.window import WindowWriter
from relex.window.adapter_folder import CONFIG_METADATA
from relex.window.codec import block_spans
from relex.window.precision import hidden_in_rounding

HF_METADATA = {"format": "pt"}
LOADED = "the model that transformers made of the base"
PIECE_ELEMENTS = 1 << 22
MAX_PENDING = 2
"""Snapshots that wait on disk before training waits for them."""

STORED_WITHIN_SECONDS = 600.0


def kept_dtype(dtype: SnapshotDtype, base: Checkpoint) -> KeptDtype:
    """How snapshots are kept of a training of that base."""
    if dtype == "auto":
        return "rounded" if hidden_in_rounding(base, torch.bfloat16) else "bfloat16"
    return dtype


def snapshot_schema(base: Checkpoint, dtype: SnapshotDtype) -> Schema:
    """The tensors of a spooled snapshot: the base's names, order and shapes.

    Weights that will be rounded are spooled in float32, others in `dtype`.
    """
    kept = torch.bfloat16 if kept_dtype(dtype, base) == "bfloat16" else torch.float32
    return {
        name: replace(info, dtype=kept) if info.dtype.is_floating_point else info
        for name, info in base.tensors.items()
    }


def check_model_state(state: State, base: Checkpoint, schema: Schema) -> None:
    """Raise CheckpointError unless the model that was loaded is made of the base's tensors.

    Names, shapes, and every element, which is what the digest of the base stands for. A tensor that
    the base does not have is fine when it is another name of one that it has, as the output layer
    of a model with tied embeddings is.
    """
    known = {tensor.data_ptr() for name, tensor in state.items() if name in schema}
    found = {
        name: TensorInfo(tuple(tensor.shape), tensor.dtype)
        for name, tensor in state.items()
        if name in schema or tensor.data_ptr() not in known
    }
    check_same_tensors(LOADED, found, schema)
    for name in schema:
        _check_same_elements(name, state[name], base)


def _check_same_elements(name: str, loaded: torch.Tensor, base: Checkpoint) -> None:
    loaded_N = loaded.detach().reshape(-1)
    for start, stop in block_spans(loaded_N.numel(), PIECE_ELEMENTS):
        piece_N = loaded_N[start:stop].cpu()
        expected_N = base.read(name, start, stop).to(piece_N.dtype)
        if not torch.equal(raw_bytes(piece_N), raw_bytes(expected_N)):
            raise CheckpointError(
                f"{LOADED}: {name} has other values than in {base.folder}, from which everything "
                "else is computed; save the base anew with save_pretrained, into an empty folder"
            )


class SnapshotSpool:
    """Takes snapshots from the training loop and makes them safe in order."""

    def __init__(
        self, folder: Path, schema: Schema, writer: WindowWriter, adapter_config: str = ""
    ) -> None:
        """With PEFT's `adapter_config`, snapshots are adapters, which are stored as they are."""
        self.folder, self.schema, self._writer = folder, schema, writer
        self.take_part: Callable[[Path], None] | None = None
        """Gets a part that a process of another machine has written."""
        self._adapter_config = adapter_config
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._stored_parts: Sequence[Path] = ()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot-upload")
        # What a run that died left there is in the window, or was never acknowledged.
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            folder.mkdir(parents=True)

    def keep(self, step: int, state: State) -> None:
        """Spool the weights of `step` and hand them to the background thread.

        Raises TrainingError when a weight is missing, of another shape or not finite, StorageError
        when the disk refuses, UploadError when an earlier snapshot could not be stored or takes too
        long.
        """
        self.make_room()
        path = part_path(self.folder, step, 0)
        write_part(path, step, state, self.schema, self.metadata)
        self.store(step, [path])

    def make_room(self) -> None:
        """Return when another snapshot may be spooled; raises UploadError like `keep`."""
        self._wait(max_pending=MAX_PENDING - 1)

    def store(self, step: int, parts: Sequence[Path]) -> None:
        """Hand a snapshot that lies in the spool, in one file or several, to the background
        thread."""
        self._pending.append((step, self._thread.submit(self._store, step, parts)))

    @property
    def metadata(self) -> dict[str, str]:
        """Of a spooled file."""
        config = {CONFIG_METADATA: self._adapter_config} if self._adapter_config else {}
        return HF_METADATA | config

    def wait(self) -> None:
        """Return when every snapshot taken is safe; raises UploadError like `keep`."""
        self._wait(max_pending=0)

    def _wait(self, max_pending: int) -> None:
        while self._pending and (len(self._pending) > max_pending or self._pending[0][1].done()):
            step, future = self._pending.popleft()
            try:
                future.result(STORED_WITHIN_SECONDS)
            except TimeoutError as error:
                raise UploadError(
                    f"step {step}: its snapshot was not stored within "
                    f"{STORED_WITHIN_SECONDS:g} s; check the storage"
                ) from error
            except RelexError as error:
                raise UploadError(f"step {step}: its snapshot cannot be stored: {error}") from error

    def _store(self, step: int, parts: Sequence[Path]) -> None:
        for path in parts:
            if self.take_part is not None and not path.exists():
                self.take_part(path)
        if self._adapter_config:
            size_bytes = self._writer.append_adapter(step, parts[0])
        else:
            size_bytes = self._writer.append(step, JoinedParts(parts, self.schema))
        # The next snapshot is compared with this one, so only the one before it can go.
        for path in self._stored_parts:
            path.unlink()
        self._stored_parts = parts
        send(SnapshotStored(step=step, size_bytes=size_bytes))
