"""A writer that is killed between a step's file and its entry in the manifest."""

import signal
import subprocess
import sys

from relex.window import check_window, open_window, open_writer

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from relex.storage import S3Connection, open_store
from relex.window import open_writer

uri, connection, first, second = sys.argv[1:]
store = open_store(uri, S3Connection.model_validate_json(connection))
writer = open_writer(store, "base-digest", "float32", (1, 2))
writer.append(1, Path(first))
store.put = lambda key, data: os.kill(os.getpid(), signal.SIGKILL)
writer.append(2, Path(second))
"""


def test_the_window_keeps_the_acknowledged_steps_and_can_be_continued(s3, spooled):
    uri, files = f"{s3.uri}/window", (spooled(1), spooled(2))
    arguments = [uri, s3.connection.model_dump_json(), *map(str, files)]
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, *arguments])
    assert killed.returncode == -signal.SIGKILL
    assert s3.store("window").size("steps/step_000002.safetensors") is not None
    assert open_window(uri, s3.connection).steps == (1,)
    writer = open_writer(s3.store("window"), "base-digest", "float32", (1, 2))
    writer.append(2, files[1])
    assert check_window(uri, s3.connection) == 2
