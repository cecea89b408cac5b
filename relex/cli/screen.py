"""What a person at a terminal sees while a run works: lines and progress bars."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from relex.run.stage import Event, Line, StageEnded, StageProgress, StageStarted
from relex.training import StepTrained
from relex.visible import visible


class Screen:
    """Listens to a run."""

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
        self._bars: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Line(text, "line"):
                self._say(f"  {text}")
            case Line(text, "warning"):
                self._say(f"  warning: {text}")
            case StepTrained() if not self.console.is_terminal:
                self._say(f"  {event.words}")
            case StageStarted(stage, title, total) if total:
                self._begin(stage, title, total)
            case StageProgress(stage, done, note) if stage in self._bars:
                self.progress.update(self._bars[stage], completed=done, note=note)
            case StageEnded(stage, _, None) if stage in self._bars:
                self._finish(self._bars[stage])

    def _say(self, line: str) -> None:
        # A model's text in it, such as [/INST], is no mark-up.
        self.console.print(visible(line), highlight=False, markup=False)

    def _begin(self, stage: str, title: str, total: int) -> None:
        if stage in self._bars:  # the next run, which brings bars of its own
            for bar in self._bars.values():
                self.progress.remove_task(bar)
            self._bars.clear()
        self._bars[stage] = self.progress.add_task(title, total=total, note="")

    def _finish(self, bar: TaskID) -> None:
        """All is done, though it may have taken fewer units than were expected, or more."""
        done = max(self.progress.tasks[self.progress.task_ids.index(bar)].completed, 1)
        self.progress.update(bar, completed=done, total=done, note="")


@contextmanager
def shown(console: Console) -> Iterator[Screen]:
    """A listener whose bars are on `console` for as long as the block."""
    screen = Screen(console)
    with screen.progress:
        yield screen
