"""What both places must do alike."""

import pytest

from relex.errors import StorageError
from relex.storage import Store, check_writable, open_store


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    return request.getfixturevalue("s3").store("some/prefix")


def test_an_object_reads_back_as_it_was_put(store):
    store.put("deep/key", b"abc")
    assert store.get("deep/key") == b"abc"


def test_an_object_is_replaced(store):
    store.put("key", b"old")
    store.put("key", b"new and longer")
    assert store.get("key") == b"new and longer"


def test_a_file_is_stored_and_fetched(store, tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 1000)
    store.put_file("deep/key", tmp_path / "file")
    store.get_file("deep/key", tmp_path / "new/copy")
    assert (tmp_path / "new/copy").read_bytes() == b"abc" * 1000


@pytest.mark.parametrize(("start", "stop", "expected"), [(1, 3, b"bc"), (2, 2, b""), (4, 9, b"e")])
def test_a_range_is_read_as_far_as_the_object_goes(store, start, stop, expected):
    store.put("key", b"abcde")
    assert store.read("key", start, stop) == expected


def test_the_size_of_an_object_is_known(store):
    store.put("key", b"abcde")
    assert store.size("key") == 5


def test_an_absent_object_has_no_size(store):
    assert store.size("absent") is None


def test_keys_are_listed_by_prefix_in_order(store):
    for key in ("b/2", "a", "b/1", "c/b/1"):
        store.put(key, b"")
    assert store.list("b/") == ["b/1", "b/2"]
    assert store.list() == ["a", "b/1", "b/2", "c/b/1"]


def test_an_empty_store_lists_nothing(store):
    assert store.list() == []


def test_a_child_store_is_rooted_below(store):
    store.child("window").put("key", b"abc")
    assert store.get("window/key") == b"abc"


def test_a_deleted_object_is_gone(store):
    store.put("key", b"abc")
    store.delete("key")
    assert store.list() == []


def test_deleting_what_is_not_there_is_no_error(store):
    store.delete("absent")


@pytest.mark.parametrize("read", ["get", "read", "get_file"])
def test_reading_an_absent_object_names_it(store, tmp_path, read):
    arguments = {"get": (), "read": (0, 1), "get_file": (tmp_path / "copy",)}[read]
    with pytest.raises(StorageError, match=f"{store.uri}/absent: cannot (be )?read"):
        getattr(store, read)("absent", *arguments)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/.*cannot be written"):
        check_writable(str(tmp_path / "file"))


def test_a_file_that_cannot_be_stored_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file/key: cannot be written"):
        open_store(str(tmp_path / "file")).put_file("key", tmp_path / "file")


def test_an_unfinished_file_is_not_listed(tmp_path):
    (tmp_path / ".key.partial").write_text("half")
    assert open_store(str(tmp_path)).list() == []


def test_a_writable_folder_is_left_as_it_was(tmp_path):
    check_writable(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
