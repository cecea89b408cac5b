import hashlib
from pathlib import Path

from relex.digests import CHUNK_BYTES, sha256_bytes, sha256_file, sha256_json


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 256 + 1)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == sha256_bytes(data) == hashlib.sha256(data).hexdigest()


def test_the_order_of_keys_does_not_change_the_digest_of_a_json_value() -> None:
    assert sha256_json({"a": 1, "b": [2]}) == sha256_json({"b": [2], "a": 1})


def test_the_order_of_a_list_changes_the_digest_of_a_json_value() -> None:
    assert sha256_json([1, 2]) != sha256_json([2, 1])


def test_text_is_not_the_number_it_shows() -> None:
    assert sha256_json("1") != sha256_json(1)
