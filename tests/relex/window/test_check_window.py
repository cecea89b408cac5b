import pytest

from relex.digests import sha256_bytes
from relex.errors import WindowError
from relex.window import check_window


def test_a_whole_window_passes_with_its_number_of_steps(s3, fill):
    fill(s3.store("window"))
    assert check_window(f"{s3.uri}/window", s3.connection) == 3


def test_progress_counts_the_steps(s3, fill):
    fill(s3.store("window"))
    seen = []
    check_window(f"{s3.uri}/window", s3.connection, on_progress=lambda *done: seen.append(done))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_flipped_byte_is_named_with_both_digests(s3, fill):
    fill(s3.store("window"))
    key, store = "steps/step_000002.safetensors", s3.store("window")
    whole = store.get(key)
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    store.put(key, damaged)
    with pytest.raises(
        WindowError,
        match=f"1 of 3 files are damaged: {key}: expected sha256 {sha256_bytes(whole)}, "
        f"found {sha256_bytes(damaged)}",
    ):
        check_window(f"{s3.uri}/window", s3.connection)


def test_a_plain_folder_has_no_digests_to_check(checkpoints, tensors):
    with pytest.raises(
        WindowError, match=r"is not a window that relex wrote; .* relex window pack"
    ):
        check_window(str(checkpoints({"step_1": tensors(1)})))


def test_an_address_where_nothing_is_has_nothing_to_check(tmp_path):
    with pytest.raises(WindowError, match="absent: there is nothing; check the address"):
        check_window(str(tmp_path / "absent"))
