"""A progress bar on standard error; nothing where that is not a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from relex.extrapolation import OnProgress


@contextmanager
def progress_bar(label: str) -> Iterator[OnProgress]:
    """Yields the function to call with the amount done and the amount in all."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)

        def advance(num_done: int, num_total: int) -> None:
            progress.update(task, completed=num_done, total=num_total)

        yield advance
