import pytest

from relex.errors import WindowError
from relex.window import (
    apply_retention,
    orphans,
    remove_orphans,
    remove_window,
    window_keys,
)

FILES = [f"steps/step_{step:06d}.safetensors" for step in (1, 2, 4)]


def test_all_objects_of_a_window_are_removed_and_nothing_else(store, fill):
    fill(store)
    store.put("notes.txt", b"mine")
    assert window_keys(store) == ["manifest.json", *FILES]
    assert remove_window(store) == ["manifest.json", *FILES]
    assert store.list() == ["notes.txt"]


def test_a_removal_that_was_interrupted_can_be_repeated(store, fill):
    fill(store)
    store.delete("manifest.json")
    assert remove_window(store) == FILES


def test_where_there_is_no_window_nothing_is_removed(store):
    store.put("notes.txt", b"mine")
    with pytest.raises(WindowError, match="holds no window"):
        remove_window(store)


def test_what_a_killed_writer_left_is_an_orphan(store, fill):
    fill(store)
    store.put("steps/step_000005.safetensors", b"half")
    assert orphans(store) == ["steps/step_000005.safetensors"]
    assert remove_orphans(store) == (["steps/step_000005.safetensors"], 0)
    assert store.list(prefix="steps/") == FILES


def test_a_place_without_a_window_has_no_orphans_to_remove(store):
    with pytest.raises(WindowError, match="holds no window"):
        remove_orphans(store)


def test_an_upload_that_never_ended_is_removed_with_the_window(s3, fill):
    store = s3.store("window")
    fill(store)
    unfinished = {"Bucket": store.bucket, "Key": "window/steps/step_000005.safetensors"}
    upload = store.client.create_multipart_upload(**unfinished)["UploadId"]
    store.client.upload_part(**unfinished, UploadId=upload, PartNumber=1, Body=b"half")
    remove_window(store)
    assert not store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads")


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("window", {"window", "factors", "model"}),
        ("factors", {"factors", "model"}),
        ("nothing", {"model"}),
    ],
)
def test_what_the_recipe_does_not_keep_is_removed(store, fill, keep, left):
    fill(store.child("window"))
    for name in ("factors", "model"):
        store.put(f"{name}/manifest.json", b"{}")
    for _ in range(2):  # and again, for a flow that was killed in between
        apply_retention(store, keep)
    assert {key.partition("/")[0] for key in store.list()} == left
