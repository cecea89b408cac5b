import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from relex.checkpoints import TOY_BASE, Checkpoint, TensorInfo
from relex.errors import CheckpointError, StorageError, TrainingError, UploadError
from relex.storage.folder import FolderStore
from relex.training import snapshots
from relex.training.snapshots import SnapshotSpool, check_model_state, snapshot_schema
from relex.window import open_window, open_writer

SCHEMA = {
    "layer.weight": TensorInfo((2, 3), torch.float32),
    "norm.weight": TensorInfo((3,), torch.float32),
}


def state(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"norm.weight": torch.full((3,), value), "layer.weight": torch.full((2, 3), value)}


def base_in(folder: Path) -> Checkpoint:
    (folder / "base").mkdir(exist_ok=True)
    save_file(state(0.5), folder / "base/model.safetensors")
    return Checkpoint(folder / "base")


class GatedStore(FolderStore):
    """A folder whose uploads begin only when the gate is opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = threading.Event()

    def put_file(self, key: str, path: Path) -> None:
        self.gate.wait()
        super().put_file(key, path)


class FullStore(FolderStore):
    """A folder that refuses every file."""

    def put_file(self, key: str, path: Path) -> None:
        raise StorageError(f"{key}: no space")


def spool_of(folder: Path, store: FolderStore) -> SnapshotSpool:
    writer = open_writer(store, base_in(folder), "float32", (1, 2, 3, 4))
    return SnapshotSpool(folder / "spool", SCHEMA, writer)


def test_every_snapshot_reaches_the_window_and_the_last_stays_spooled(
    tmp_path: Path,
) -> None:
    store = FolderStore(tmp_path / "window")
    spool = spool_of(tmp_path, store)
    for step in (1, 2, 3, 4):
        spool.keep(step, state(value=step))
    spool.wait()

    window = open_window(store.uri, base=base_in(tmp_path))
    assert {name: info.shape for name, info in window.tensors.items()} == {
        "layer.weight": (2, 3),
        "norm.weight": (3,),
    }
    for step in (1, 2, 3, 4):
        assert torch.equal(window.read(step, "layer.weight"), torch.full((6,), float(step)))
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["step_000004-0.safetensors"]


def test_training_waits_while_too_many_snapshots_are_pending(tmp_path: Path) -> None:
    store = GatedStore(tmp_path / "window")
    spool = spool_of(tmp_path, store)
    spool.keep(1, state())
    spool.keep(2, state())
    third = threading.Thread(target=spool.keep, args=(3, state()))
    third.start()
    third.join(0.3)
    assert third.is_alive()
    assert len(list((tmp_path / "spool").iterdir())) == 2

    store.gate.set()
    third.join()
    spool.wait()


def test_waiting_ends_with_an_error_when_uploads_take_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "STORED_WITHIN_SECONDS", 0.1)
    store = GatedStore(tmp_path / "window")
    spool = spool_of(tmp_path, store)
    spool.keep(1, state())
    spool.keep(2, state())
    try:
        with pytest.raises(
            UploadError, match=r"step 1: .* not stored within 0\.1 s; check the storage"
        ):
            spool.keep(3, state())
    finally:
        store.gate.set()


def test_a_failed_upload_stops_training(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, FullStore(tmp_path / "window"))
    with pytest.raises(UploadError, match=r"step 1: its snapshot cannot be stored: .*no space"):
        for step in (1, 2, 3):  # the third is not kept before the first is stored
            spool.keep(step, state())


def test_weights_that_are_not_finite_are_named_with_their_step(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, FolderStore(tmp_path / "window"))
    broken = state()
    broken["norm.weight"][1] = torch.nan
    with pytest.raises(TrainingError, match=r"step 1: .*norm\.weight.*not finite.*lower"):
        spool.keep(1, broken)


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    spool = spool_of(tmp_path, FolderStore(tmp_path / "window"))
    with pytest.raises(TrainingError, match=r"step 1: .*layer\.weight"):
        spool.keep(1, {"norm.weight": torch.ones(3)})


def test_the_schema_has_the_names_of_the_base_in_the_snapshot_dtype() -> None:
    base = Checkpoint(TOY_BASE)
    schema = snapshot_schema(base, "float32")
    assert list(schema) == list(base.tensors)
    assert {info.dtype for info in schema.values()} == {torch.float32}
    assert {name: info.shape for name, info in schema.items()} == {
        name: info.shape for name, info in base.tensors.items()
    }


def test_another_name_of_a_tied_tensor_is_no_surplus(tmp_path: Path) -> None:
    tied = state(0.5)
    tied["lm_head.weight"] = tied["layer.weight"]
    check_model_state(tied, base_in(tmp_path), SCHEMA)


def test_a_tensor_that_the_base_does_not_have_is_an_error(tmp_path: Path) -> None:
    surplus = {**state(0.5), "lm_head.weight": torch.ones(2, 3)}
    with pytest.raises(CheckpointError, match="lm_head"):
        check_model_state(surplus, base_in(tmp_path), SCHEMA)


def test_a_model_without_a_tensor_of_the_base_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"layer\.weight"):
        check_model_state({"norm.weight": torch.ones(3)}, base_in(tmp_path), SCHEMA)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", list(SCHEMA))
@pytest.mark.parametrize("position", [0, -1])
def test_one_element_that_differs_from_the_base_is_an_error(
    tmp_path: Path, dtype: torch.dtype, name: str, position: int
) -> None:
    base = base_in(tmp_path)
    loaded = {key: tensor.to(dtype) for key, tensor in state(0.5).items()}
    schema = {key: TensorInfo(info.shape, dtype) for key, info in SCHEMA.items()}
    check_model_state(loaded, base, schema)
    loaded[name].view(-1)[position] += 2**-8
    with pytest.raises(CheckpointError, match=f"{name} has other values than in .*base, from"):
        check_model_state(loaded, base, schema)
