"""A flow that is in the middle of something, with a child that left its session."""

import os
import subprocess
import time
from pathlib import Path

from prefect import flow

from relex.atomic import write_atomic


@flow(name="long-flow")
def long_flow() -> None:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    write_atomic(Path(os.environ["RELEX_HOME"], "processes"), f"{os.getpid()} {child.pid}".encode())
    time.sleep(600)
