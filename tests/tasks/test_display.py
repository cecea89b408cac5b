"""What a terminal shows of a line."""

import io

import pytest
from prefect.logging import disable_run_logger
from rich.console import Console

from tasks.display import Display, displayed
from tasks.progress import note_line


def test_brackets_in_what_a_model_wrote_are_no_mark_up():
    console = Console(file=io.StringIO(), width=100)
    Display(console).say("trial failed: completion: '[/INST] [bold]57'")
    assert console.file.getvalue() == "trial failed: completion: '[/INST] [bold]57'\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_step_has_a_line_where_no_bar_tells_it(is_terminal):
    console = Console(file=io.StringIO(), width=100, force_terminal=is_terminal)
    with disable_run_logger(), displayed(console):
        note_line("step 3 of 8")
    assert ("step 3 of 8" in console.file.getvalue()) is not is_terminal
