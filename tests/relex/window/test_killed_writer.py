"""A writer that is killed between a step's file and its entry in the manifest."""

import signal
import subprocess
import sys

from relex.window import check_window, open_window, open_writer

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from relex.checkpoints import Checkpoint
from relex.storage import S3Connection, open_store
from relex.window import open_writer

uri, connection, base, first, second = sys.argv[1:]
store = open_store(uri, S3Connection.model_validate_json(connection))
writer = open_writer(store, Checkpoint(Path(base)), "float32", (1, 2))
writer.append(1, Checkpoint(Path(first)))
store.put = lambda key, data: os.kill(os.getpid(), signal.SIGKILL)
writer.append(2, Checkpoint(Path(second)))
"""


def test_the_window_keeps_the_acknowledged_steps_and_can_be_continued(
    s3, base, tensors, snapshot, checkpoints
):
    folder = checkpoints({"step_1": tensors(1), "step_2": tensors(2)})
    uri, files = f"{s3.uri}/window", (folder / "step_1", folder / "step_2")
    arguments = [uri, s3.connection.model_dump_json(), base.folder, *files]
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, *map(str, arguments)])
    assert killed.returncode == -signal.SIGKILL
    assert s3.store("window").size("steps/step_000002.safetensors") is not None
    assert open_window(uri, s3.connection).steps == (1,)
    writer = open_writer(s3.store("window"), base, "float32", (1, 2))
    writer.append(2, snapshot(2))
    assert check_window(uri, s3.connection, base=base) == 2
