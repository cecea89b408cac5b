"""What a terminal shows of a line."""

import io

from rich.console import Console

from tasks.display import Display


def test_brackets_in_what_a_model_wrote_are_no_mark_up():
    console = Console(file=io.StringIO(), width=100)
    Display(console).say("trial failed: completion: '[/INST] [bold]57'")
    assert console.file.getvalue() == "trial failed: completion: '[/INST] [bold]57'\n"
