import pytest
import torch

from relex.errors import StorageError, UploadError, WindowError
from relex.manifest import file_entry, read_manifest
from relex.storage import open_store
from relex.storage.s3 import S3Store, open_client
from relex.window import open_writer, read_window_manifest

BASE = "base-digest"


def test_a_step_is_recorded_with_the_digest_of_its_file(store, spooled):
    path = spooled(1)
    open_writer(store, BASE, "float32", (1, 2)).append(1, path)
    manifest = read_manifest(store, "window")
    assert manifest is not None
    assert manifest.files == {"steps/step_000001.safetensors": file_entry(path)}


def test_a_new_window_has_no_safe_step_and_misses_all(store):
    writer = open_writer(store, BASE, "float32", (1, 2))
    assert (writer.steps, writer.missing_steps, writer.complete) == ((), (1, 2), False)


def test_another_writer_continues_after_the_last_safe_step(store, spooled):
    open_writer(store, BASE, "float32", (1, 2, 4)).append(1, spooled(1))
    resumed = open_writer(store, BASE, "float32", (1, 2, 4))
    resumed.append(2, spooled(2))
    assert (resumed.steps, resumed.missing_steps) == ((1, 2), (4,))


def test_a_finished_window_is_complete_when_it_is_opened_again(store, fill):
    fill(store)
    assert open_writer(store, BASE, "float32", (1, 2, 4)).complete


def test_a_window_cannot_be_finished_without_its_planned_steps(store, spooled):
    writer = open_writer(store, BASE, "float32", (1, 2))
    writer.append(1, spooled(1))
    with pytest.raises(WindowError, match="cannot be complete without step 2; it holds 1 of 2"):
        writer.finish()


def test_a_safe_step_is_not_replaced(store, spooled):
    writer = open_writer(store, BASE, "float32", (1, 2))
    writer.append(1, spooled(1))
    with pytest.raises(WindowError, match="step 1 is already safe"):
        writer.append(1, spooled(1))


@pytest.mark.parametrize("step", [2, 3])
def test_a_step_out_of_order_or_plan_is_refused(store, spooled, step):
    writer = open_writer(store, BASE, "float32", (1, 2))
    with pytest.raises(WindowError, match=f"cannot take step {step}; the next one is 1"):
        writer.append(step, spooled(step))


def test_a_step_after_the_last_is_refused(store, fill, spooled):
    with pytest.raises(WindowError, match="cannot take step 5; the next one is none"):
        fill(store).append(5, spooled(5))


def test_weights_of_another_dtype_are_refused(store, spooled, snapshot):
    writer = open_writer(store, BASE, "float32", (1, 2))
    with pytest.raises(WindowError, match=r"a\.weight is bfloat16, the window keeps float32"):
        writer.append(1, spooled(1, snapshot(1, torch.bfloat16)))


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("other", "float32", (1, 2)), "another base"),
        ((BASE, "bfloat16", (1, 2)), "another dtype"),
        ((BASE, "float32", (1, 3)), "another plan of steps"),
    ],
)
def test_a_window_of_another_run_is_not_continued(store, arguments, finding):
    open_writer(store, BASE, "float32", (1, 2))
    with pytest.raises(WindowError, match=finding):
        open_writer(store, *arguments)


def test_steps_after_the_resumed_one_are_dropped_with_their_files(store, fill):
    writer = fill(store)
    writer.drop_after(2)
    assert writer.steps == (1, 2)
    assert not writer.complete
    assert "steps/step_000004.safetensors" not in store.list()


def test_a_dropped_step_can_be_written_again(store, fill, spooled):
    writer = fill(store)
    writer.drop_after(1)
    writer.append(2, spooled(2))
    assert writer.steps == (1, 2)


def test_dropping_nothing_keeps_a_window_complete(store, fill):
    writer = fill(store)
    writer.drop_after(4)
    assert writer.complete


@pytest.mark.parametrize("change", ["append", "drop_after", "finish"])
def test_a_writer_stops_when_another_one_has_opened_the_window(store, spooled, change):
    first = open_writer(store, BASE, "float32", (1,))
    first.append(1, spooled(1))
    first.drop_after(0) if change == "append" else None
    open_writer(store, BASE, "float32", (1,))
    arguments = {"append": (1, spooled(1)), "drop_after": (0,), "finish": ()}[change]
    with pytest.raises(WindowError, match="another writer has opened this window"):
        getattr(first, change)(*arguments)


def test_a_step_that_cannot_be_stored_is_not_visible(s3, spooled):
    store = S3Store(f"{s3.uri}/window", open_client(s3.connection, max_attempts=1))
    writer = open_writer(store, BASE, "float32", (1, 2))
    writer.append(1, spooled(1))
    # A folder where the object should go makes the server refuse it.
    (s3.folder / "window/steps/step_000002.safetensors/full").mkdir(parents=True)
    with pytest.raises(UploadError, match="could not be written"):
        writer.append(2, spooled(2))
    stored = read_window_manifest(store)
    assert stored is not None
    assert stored.facts.steps == writer.steps == (1,)


def test_a_manifest_of_something_else_is_not_overwritten(tmp_path):
    store = open_store(str(tmp_path))
    store.put("manifest.json", b'{"kind": "factors", "inputs": {}, "files": {}}')
    with pytest.raises(StorageError, match="describes a factors, expected a window"):
        open_writer(store, BASE, "float32", (1, 2))
