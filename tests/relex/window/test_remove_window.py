import pytest

from relex.errors import InputError, WindowError
from relex.run.retention import apply_retention
from relex.storage import open_store
from relex.storage.manifest import FileEntry, Manifest, publish_folder
from relex.window import (
    open_writer,
    orphans,
    remove_orphans,
    remove_window,
    strangers,
    window_keys,
)

FILES = [f"steps/step_{step:06d}.safetensors" for step in (1, 2, 4)]


def test_all_objects_of_a_window_are_removed_and_nothing_else(store, fill):
    fill(store)
    foreign = ["config.json", "notes.txt", "steps/notes.txt", "steps/step_000003.safetensors"]
    for key in foreign:
        store.put(key, b"mine")
    assert strangers(store) == foreign
    assert window_keys(store) == [*FILES, "manifest.json"]
    assert remove_window(store) == [*FILES, "manifest.json"]
    assert store.list() == foreign
    assert {store.get(key) for key in foreign} == {b"mine"}


@pytest.mark.parametrize("num_removed", range(4))
def test_a_removal_that_was_interrupted_can_be_repeated(store, fill, num_removed):
    fill(store)
    store.put("notes.txt", b"mine")
    for key in window_keys(store)[:num_removed]:
        store.delete(key)
    assert remove_window(store) == [*FILES, "manifest.json"][num_removed:]
    assert store.list() == ["notes.txt"]


def test_what_a_killed_writer_left_is_an_orphan_and_goes_with_the_window(
    store, fill, base, snapshot
):
    writer = open_writer(store, base, "float32", (1, 2, 4, 5))
    writer.append(1, snapshot(1))
    store.put("steps/step_000005.safetensors", b"half")
    store.put("steps/step_000006.safetensors", b"mine")
    assert orphans(store) == ["steps/step_000005.safetensors"]
    assert remove_orphans(store) == (["steps/step_000005.safetensors"], 0)
    assert orphans(store) == []
    store.put("steps/step_000002.safetensors", b"half")
    assert remove_window(store) == [*FILES[:2], "manifest.json"]
    assert store.list() == ["steps/step_000006.safetensors"]


def manifest_json(**changes) -> bytes:
    fields = {"kind": "window", "inputs": {}, "files": {}, **changes}
    return Manifest(**fields).model_dump_json().encode()


ENTRY = FileEntry(size_bytes=4, sha256="0" * 64)
NO_WINDOWS = {
    "an empty place": {},
    "files of another program": {"steps/step_000001.safetensors": b"mine"},
    "steps of another program": {"steps/1/model.pt": b"mine", "steps/2/model.pt": b"mine"},
    "a manifest of another program": {"manifest.json": b'{"name": "site"}'},
    "a manifest that is a list": {"manifest.json": b"[]"},
    "a manifest that is no JSON": {"manifest.json": b"\x00\xff"},
    "an empty manifest": {"manifest.json": b""},
    "the factors of a run": {"manifest.json": manifest_json(kind="factors")},
    "a window without its facts": {"manifest.json": manifest_json()},
    "a window that names other files": {"manifest.json": manifest_json(files={"a": ENTRY})},
    "a window of a later version": {"manifest.json": manifest_json(schema_version=2)},
}


@pytest.mark.parametrize("files", NO_WINDOWS.values(), ids=NO_WINDOWS)
@pytest.mark.parametrize("remove", [remove_window, remove_orphans, window_keys, strangers])
def test_where_there_is_no_window_nothing_is_removed(store, files, remove):
    foreign = {"notes.txt": b"mine", "steps/step_000009.safetensors": b"mine", **files}
    for key, data in foreign.items():
        store.put(key, data)
    with pytest.raises(InputError, match=r"holds no window|describes no window|schema version 2"):
        remove(store)
    assert {key: store.get(key) for key in store.list()} == foreign


def test_a_window_with_a_damaged_manifest_is_left_as_it_is(store, fill):
    fill(store)
    manifest = store.get("manifest.json").replace(b'"complete": true', b'"complete": false')
    store.put("manifest.json", manifest)
    with pytest.raises(WindowError, match="its manifest is damaged"):
        remove_window(store)
    assert store.list() == ["manifest.json", *FILES]


def begin_upload(store, key: str) -> None:
    unfinished = {"Bucket": store.bucket, "Key": key}
    upload = store.client.create_multipart_upload(**unfinished)["UploadId"]
    store.client.upload_part(**unfinished, UploadId=upload, PartNumber=1, Body=b"half")


def test_an_upload_that_never_ended_is_removed_with_the_window_and_no_other(s3, fill):
    store = s3.store("window")
    fill(store)
    for key in ("steps/step_000004.safetensors", "mine/model.safetensors", "step_000004"):
        begin_upload(store, f"window/{key}")
    remove_window(store)
    left = store.client.list_multipart_uploads(Bucket=store.bucket)["Uploads"]
    assert {upload["Key"] for upload in left} == {
        "window/mine/model.safetensors",
        "window/step_000004",
    }


def test_an_unfinished_file_is_removed_with_the_window_and_no_other(tmp_path, fill):
    store = open_store(str(tmp_path / "window"))
    fill(store)
    ours = tmp_path / "window/steps/.step_000004.safetensors.partial"
    mine = tmp_path / "window/steps/.film.partial"
    ours.touch(), mine.touch()
    remove_window(store)
    assert mine.exists() and not ours.exists()


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("window", {"window", "factors", "model"}),
        ("factors", {"factors", "model"}),
        ("nothing", {"model"}),
    ],
)
def test_what_the_recipe_does_not_keep_is_removed(store, fill, tmp_path, keep, left):
    fill(store.child("window"))
    for name in ("factors", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.bin").write_bytes(b"a")
        publish_folder(store.child(name), tmp_path / name, name, {})
    for _ in range(2):  # and again, for a flow that was killed in between
        apply_retention(store, keep)
    assert {key.partition("/")[0] for key in store.list()} == left


def test_retention_leaves_what_no_manifest_names(store, fill, tmp_path):
    foreign = ["factors/notes.txt", "window/notes.txt", "window/steps/step_000003.safetensors"]
    fill(store.child("window"))
    (tmp_path / "made").mkdir()
    publish_folder(store.child("factors"), tmp_path / "made", "factors", {})
    for key in foreign:
        store.put(key, b"mine")
    apply_retention(store, "nothing")
    assert store.list() == foreign


def test_retention_removes_nothing_without_a_manifest(store):
    for key in ("factors/a", "window/steps/step_000001.safetensors"):
        store.put(key, b"mine")
    assert apply_retention(store, "nothing") == []
    assert store.list() == ["factors/a", "window/steps/step_000001.safetensors"]
