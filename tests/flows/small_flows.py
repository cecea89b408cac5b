"""Flows without any work, for tests of what is around them."""

import time
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run


@flow
def alone(folder: str) -> None:
    """Fails when another one is under way."""
    inside = Path(folder) / "inside"
    inside.touch(exist_ok=False)
    time.sleep(2)
    inside.unlink()


@flow
def together(folder: str, others: int) -> None:
    """Ends when the others have come while it is under way."""
    (Path(folder) / str(flow_run.id)).touch()
    while len(list(Path(folder).iterdir())) <= others:
        time.sleep(0.1)


@flow(name="reward-sweep")
def finished_sweep() -> None:
    """Stands for a sweep that has ended."""
