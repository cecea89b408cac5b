"""A flow that is in the middle of something, with a child that left its session."""

import os
import signal
import subprocess
from pathlib import Path

from prefect import flow

from relex.storage.atomic import write_atomic


@flow(name="long-flow")
def long_flow() -> None:
    child = subprocess.Popen(["sleep", "infinity"], start_new_session=True)
    write_atomic(Path(os.environ["RELEX_HOME"], "processes"), f"{os.getpid()} {child.pid}".encode())
    signal.pause()
