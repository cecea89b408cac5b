import pytest
import torch

from relex.checkpoints import Checkpoint
from relex.errors import CheckpointError, StorageError, UploadError, WindowError
from relex.storage import open_store
from relex.storage.manifest import read_manifest, stored_entry
from relex.storage.s3 import S3Store, open_client
from relex.window import open_writer, read_window_manifest
from tests.snapshots import TensorsAtHand


def test_a_step_is_recorded_with_the_size_and_digest_of_its_file(store, snapshot, base):
    num_bytes = open_writer(store, base, "float32", (1, 2)).append(1, snapshot(1))
    manifest = read_manifest(store, "window")
    assert manifest is not None
    key = "steps/step_000001.safetensors"
    assert manifest.files == {key: stored_entry(store, key)}
    assert manifest.files[key].size_bytes == num_bytes


def test_the_manifest_says_what_every_step_is_encoded_against(store, fill):
    fill(store, (1, 2, 4, 5), anchor_every_steps=3)
    manifest = read_window_manifest(store)
    assert manifest is not None
    assert [(file.step, file.kind, file.previous) for file in manifest.facts.steps] == [
        (1, "delta", 0),
        (2, "delta", 1),
        (4, "anchor", None),
        (5, "delta", 4),
    ]


def test_a_new_window_has_no_safe_step_and_misses_all(store, base):
    writer = open_writer(store, base, "float32", (1, 2))
    assert (writer.steps, writer.missing_steps, writer.complete) == ((), (1, 2), False)


def test_another_writer_continues_after_the_last_safe_step(store, snapshot, base):
    open_writer(store, base, "float32", (1, 2, 4)).append(1, snapshot(1))
    resumed = open_writer(store, base, "float32", (1, 2, 4))
    resumed.append(2, snapshot(2))
    assert (resumed.steps, resumed.missing_steps) == ((1, 2), (4,))


def test_a_finished_window_is_complete_when_it_is_opened_again(store, fill, base):
    fill(store)
    assert open_writer(store, base, "float32", (1, 2, 4)).complete


def test_a_window_cannot_be_finished_without_its_planned_steps(store, snapshot, base):
    writer = open_writer(store, base, "float32", (1, 2))
    writer.append(1, snapshot(1))
    with pytest.raises(WindowError, match="cannot be complete without step 2; it holds 1 of 2"):
        writer.finish()


def test_a_safe_step_is_not_replaced(store, snapshot, base):
    writer = open_writer(store, base, "float32", (1, 2))
    writer.append(1, snapshot(1))
    with pytest.raises(WindowError, match="step 1 is already safe"):
        writer.append(1, snapshot(1))


@pytest.mark.parametrize("step", [2, 3])
def test_a_step_out_of_order_or_plan_is_refused(store, snapshot, step, base):
    writer = open_writer(store, base, "float32", (1, 2))
    with pytest.raises(WindowError, match=f"cannot take step {step}; the next one is 1"):
        writer.append(step, snapshot(step))


def test_a_step_after_the_last_is_refused(store, fill, snapshot, base):
    with pytest.raises(WindowError, match="cannot take step 5; the next one is none"):
        fill(store).append(5, snapshot(5))


def test_a_dtype_that_changes_within_an_exact_window_is_refused(store, snapshot, base):
    writer = open_writer(store, base, "exact", (1, 2))
    writer.append(1, snapshot(1))
    with pytest.raises(
        WindowError, match=r"a\.weight is bfloat16.*previous snapshot it is float32"
    ):
        writer.append(2, snapshot(2, torch.bfloat16))


def test_a_missing_tensor_is_named_with_its_step(store, tensors, base):
    lacking = TensorsAtHand({"a.weight": tensors(1)["a.weight"]})
    with pytest.raises(CheckpointError, match=r"step 1: lacks b\.weight, which the base has"):
        open_writer(store, base, "float32", (1, 2)).append(1, lacking)


@pytest.mark.parametrize(
    ("precision", "steps", "finding"),
    [
        ("rounded", (1, 2), "another precision"),
        ("float32", (1, 3), "another plan of steps"),
    ],
)
def test_a_window_of_another_run_is_not_continued(store, precision, steps, finding, base):
    open_writer(store, base, "float32", (1, 2))
    with pytest.raises(WindowError, match=finding):
        open_writer(store, base, precision, steps)


def test_a_window_of_another_base_is_not_continued(store, base, checkpoints, tensors):
    other = Checkpoint(checkpoints({"other": tensors(9)}) / "other")
    open_writer(store, base, "float32", (1, 2))
    with pytest.raises(WindowError, match="another base"):
        open_writer(store, other, "float32", (1, 2))


def test_steps_after_the_resumed_one_are_dropped_with_their_files(store, fill, base):
    writer = fill(store)
    writer.drop_after(2)
    assert writer.steps == (1, 2)
    assert not writer.complete
    assert "steps/step_000004.safetensors" not in store.list()


def test_a_dropped_step_can_be_written_again(store, fill, snapshot, base):
    writer = fill(store)
    writer.drop_after(1)
    writer.append(2, snapshot(2))
    assert writer.steps == (1, 2)


def test_dropping_nothing_keeps_a_window_complete(store, fill, base):
    writer = fill(store)
    writer.drop_after(4)
    assert writer.complete


@pytest.mark.parametrize("change", ["append", "drop_after", "finish"])
def test_a_writer_stops_when_another_one_has_opened_the_window(store, snapshot, change, base):
    first = open_writer(store, base, "float32", (1,))
    first.append(1, snapshot(1))
    first.drop_after(0) if change == "append" else None
    open_writer(store, base, "float32", (1,))
    arguments = {"append": (1, snapshot(1)), "drop_after": (0,), "finish": ()}[change]
    with pytest.raises(WindowError, match="another writer has opened this window"):
        getattr(first, change)(*arguments)


def test_a_step_that_cannot_be_stored_is_not_visible(s3, snapshot, base):
    store = S3Store(f"{s3.uri}/window", open_client(s3.connection, max_attempts=1))
    writer = open_writer(store, base, "float32", (1, 2))
    writer.append(1, snapshot(1))
    # A folder where the object should go makes the server refuse it.
    (s3.folder / "window/steps/step_000002.safetensors/full").mkdir(parents=True)
    with pytest.raises(UploadError, match="could not be written"):
        writer.append(2, snapshot(2))
    stored = read_window_manifest(store)
    assert stored is not None
    assert stored.steps == writer.steps == (1,)


def test_a_manifest_of_something_else_is_not_overwritten(tmp_path, base):
    store = open_store(str(tmp_path))
    store.put("manifest.json", b'{"kind": "factors", "inputs": {}, "files": {}}')
    with pytest.raises(StorageError, match=r"holds no window: its manifest\.json describes a fac"):
        open_writer(store, base, "float32", (1, 2))
