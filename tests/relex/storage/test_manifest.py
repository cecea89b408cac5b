import hashlib
import json

import pytest

from relex.errors import StorageError
from relex.storage import open_store
from relex.storage.manifest import (
    FileEntry,
    Manifest,
    describe_folder,
    fetch_folder,
    file_entry,
    finished_manifest,
    publish_folder,
    read_manifest,
    stored_entry,
    write_manifest,
)

INPUTS = {"base": "digest-of-base", "window": "digest-of-window"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made/sub").mkdir(parents=True)
    (tmp_path / "made/a.json").write_text("{}")
    (tmp_path / "made/sub/b.bin").write_bytes(b"abc")
    return tmp_path / "made"


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


def test_a_folder_is_described_with_sizes_and_digests(folder):
    assert describe_folder(folder, "factors", INPUTS).files == {
        "a.json": FileEntry(size_bytes=2, sha256=hashlib.sha256(b"{}").hexdigest()),
        "sub/b.bin": FileEntry(size_bytes=3, sha256=hashlib.sha256(b"abc").hexdigest()),
    }


def test_a_manifest_does_not_describe_itself(folder):
    (folder / "manifest.json").write_text("{}")
    assert "manifest.json" not in describe_folder(folder, "factors", INPUTS).files


def test_a_published_folder_is_fetched_as_it_was(folder, s3, tmp_path):
    store = s3.store("run/factors")
    published = publish_folder(store, folder, "factors", INPUTS, {"rank": 1})
    assert fetch_folder(store, tmp_path / "copy", "factors") == published
    assert (tmp_path / "copy/sub/b.bin").read_bytes() == b"abc"


def test_the_manifest_is_published_last(folder, store, monkeypatch):
    order = []
    monkeypatch.setattr(store, "put_file", lambda key, path: order.append(key))
    monkeypatch.setattr(store, "put", lambda key, data: order.append(key))
    publish_folder(store, folder, "factors", INPUTS)
    assert order == ["a.json", "sub/b.bin", "manifest.json"]


def test_a_folder_without_a_manifest_has_none(store):
    assert read_manifest(store, "factors") is None


def test_an_unfinished_folder_is_not_fetched(store, tmp_path):
    store.put("a.json", b"{}")
    with pytest.raises(StorageError, match=r"has no manifest\.json, so it is not a finished f"):
        fetch_folder(store, tmp_path / "copy", "factors")


@pytest.mark.parametrize("data", [b"abC", b"ab"], ids=["flipped", "truncated"])
def test_a_damaged_file_is_named_when_it_is_fetched(folder, store, tmp_path, data):
    publish_folder(store, folder, "factors", INPUTS)
    store.put("sub/b.bin", data)
    with pytest.raises(StorageError, match=r"sub/b\.bin: damaged: expected 3 bytes with sha256"):
        fetch_folder(store, tmp_path / "copy", "factors")


def test_a_stage_with_the_same_inputs_is_finished(folder, store):
    published = publish_folder(store, folder, "factors", INPUTS)
    assert finished_manifest(store, "factors", INPUTS) == published


def test_a_stage_with_other_inputs_is_refused_with_their_names(folder, store):
    publish_folder(store, folder, "factors", INPUTS)
    with pytest.raises(StorageError, match=r"made from other inputs \(differing: window\)"):
        finished_manifest(store, "factors", {**INPUTS, "window": "another"})


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"kind": "window"}, "holds no factors: its manifest.json describes a window"),
        ({"schema_version": 99}, "schema version 99, this relex reads 1"),
        ({"surprise": 1}, "not a manifest of relex: .*surprise"),
    ],
)
def test_a_manifest_that_is_not_the_expected_one_is_refused(store, changes, finding):
    write_manifest(store, Manifest(kind="factors", inputs=INPUTS, files={}))
    found = json.loads(store.get("manifest.json"))
    store.put("manifest.json", json.dumps({**found, **changes}).encode())
    with pytest.raises(StorageError, match=finding):
        read_manifest(store, "factors")


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "sub/../../outside"])
def test_a_file_outside_the_folder_is_refused(store, name):
    entry = {"size_bytes": 0, "sha256": ""}
    found = {"kind": "factors", "inputs": {}, "files": {name: entry}}
    store.put("manifest.json", json.dumps(found).encode())
    with pytest.raises(StorageError, match="lies outside the folder"):
        read_manifest(store, "factors")


def test_a_stored_object_is_described_like_its_file(folder, s3):
    s3.store().put_file("key", folder / "sub/b.bin")
    assert stored_entry(s3.store(), "key") == file_entry(folder / "sub/b.bin")
