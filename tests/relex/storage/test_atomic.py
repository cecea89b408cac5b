import pytest

from relex.errors import InputError, StorageError
from relex.storage.atomic import new_folder, write_atomic


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "deep/out") as partial:
        (partial / "file").write_text("abc")
        assert not (tmp_path / "deep/out").exists()
    assert (tmp_path / "deep/out/file").read_text() == "abc"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path, error):
    with pytest.raises(error), new_folder(tmp_path / "out") as partial:
        (partial / "file").write_text("abc")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists already"), new_folder(tmp_path / "out"):
        pass


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    write_atomic(tmp_path / "file", b"old")
    write_atomic(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"new"}


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "file/full").mkdir(parents=True)
    with pytest.raises(StorageError, match="file: cannot be written: Is a directory"):
        write_atomic(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
