"""What a terminal shows of what a run says."""

import io

from rich.console import Console

from relex.cli.screen import shown
from relex.run.stage import Line, StageEnded, StageProgress, StageStarted


def output_of(*events) -> str:
    console = Console(file=io.StringIO(), width=100)
    with shown(console) as terminal:
        for event in events:
            terminal(event)
    return console.file.getvalue()


def test_brackets_in_what_a_model_wrote_are_no_mark_up():
    line = "trial failed: completion: '[/INST] [bold]57'"
    assert output_of(Line(line)).startswith(f"  {line}\n")


def test_a_warning_is_named_and_a_detail_is_not_shown():
    output = output_of(Line("low reward", "warning"), Line("child says", "detail"))
    assert "  warning: low reward\n" in output
    assert "child says" not in output


def test_a_stage_that_took_fewer_units_than_were_expected_is_done_all_the_same():
    output = output_of(
        StageStarted("validation", "Searching", 40),
        StageProgress("validation", 7),
        StageEnded("validation", 1.0),
    )
    assert "Searching" in output and "7/7" in output


def test_a_stage_that_failed_is_not_shown_as_done():
    output = output_of(
        StageStarted("validation", "Searching", 40),
        StageProgress("validation", 7),
        StageEnded("validation", 1.0, RuntimeError()),
    )
    assert "7/40" in output


def test_the_next_run_brings_bars_of_its_own():
    output = output_of(
        StageStarted("train", "Training 5 steps", 5),
        StageEnded("train", 1.0),
        StageStarted("train", "Training 9 steps", 9),
        StageEnded("train", 1.0),
    )
    assert "Training 9 steps" in output and "Training 5 steps" not in output
