"""What a person at a terminal sees while a flow runs; in a service there is no display."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


class Display:
    """Lines and progress bars on a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
        )

    def say(self, line: str) -> None:
        # A model's text in it, such as [/INST], is no mark-up.
        self.console.print(line, highlight=False, markup=False)


_current: ContextVar[Display | None] = ContextVar("display", default=None)


def current_display() -> Display | None:
    """The display of this flow run, if it has one."""
    return _current.get()


@contextmanager
def displayed(console: Console) -> Iterator[Display]:
    """Show the flow that runs in the block on `console`."""
    display = Display(console)
    token = _current.set(display)
    try:
        with display.progress:
            yield display
    finally:
        _current.reset(token)


def clear_display() -> None:
    """Take the bars of what is done off the terminal, before the next run brings its own."""
    display = current_display()
    if display is not None:
        for bar in display.progress.task_ids:
            display.progress.remove_task(bar)
