"""Real child processes, each a few lines of Python."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from relex.children import Child
from relex.errors import RewardError, StageError


def child(body: str, lines: list[str] | None = None) -> Child:
    """A child that runs `body` after importing what children use."""
    source = f"import os, sys, time\nfrom relex.child_side import child_main, emit\n{body}"
    on_log = (lines if lines is not None else []).append
    return Child.of_command([sys.executable, "-c", source], on_log)


def wait_until_gone(pid: int) -> None:
    """Returns only then; an orphan may stay a zombie where nothing collects it."""
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)


def test_events_and_log_lines_are_told_apart() -> None:
    lines: list[str] = []
    with child("print('loading'); emit('step', step=1); print('bye')", lines) as running:
        assert list(running.events()) == [{"event": "step", "step": 1}]
    assert lines == ["loading", "bye"]


def test_an_event_behind_an_unfinished_line_is_still_an_event() -> None:
    lines: list[str] = []
    body = "os.write(2, b'almost done'); emit('step', step=1)"
    with child(body, lines) as running:
        assert list(running.events()) == [{"event": "step", "step": 1}]
    assert lines == ["almost done"]


def test_standard_error_reaches_the_log() -> None:
    lines: list[str] = []
    with child("print('careful', file=sys.stderr)", lines) as running:
        assert list(running.events()) == []
    assert lines == ["careful"]


def test_an_error_of_ours_is_raised_again_in_the_parent() -> None:
    body = """
from relex.errors import RewardError
def fail(): raise RewardError('reward r: raised')
child_main(fail)"""
    with child(body) as running, pytest.raises(RewardError, match=r"^reward r: raised$"):
        list(running.events())


def test_any_other_error_becomes_a_stage_error_with_its_traceback_in_the_log() -> None:
    lines: list[str] = []
    with (
        child("child_main(lambda: 1 // 0)", lines) as running,
        pytest.raises(StageError, match="ZeroDivisionError"),
    ):
        list(running.events())
    assert any("Traceback" in line for line in lines)


def test_a_child_that_dies_silently_is_reported_with_its_last_lines() -> None:
    body = "print('about to die', flush=True); os.kill(os.getpid(), 9)"
    with (
        child(body) as running,
        pytest.raises(StageError, match=r"ended with status -9(.|\n)*about to die"),
    ):
        list(running.events())


def test_messages_reach_the_child() -> None:
    body = "import json; emit('echo', text=json.loads(sys.stdin.readline())['text'])"
    with child(body) as running:
        running.send(text="grüße")
        assert running.receive() == {"event": "echo", "text": "grüße"}


def test_receiving_from_a_child_that_ended_is_an_error() -> None:
    with child("pass") as running, pytest.raises(StageError, match="ended with status 0"):
        running.receive()


def test_leaving_the_context_ends_the_child() -> None:
    with child("emit('ready'); time.sleep(600)") as running:
        running.receive()
        pid = running.pid
    wait_until_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal of Linux")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = """
import sys
from relex.children import Child
body = '''
import os, time
from relex.child_side import child_main, emit
child_main(lambda: (emit("ready", pid=os.getpid()), time.sleep(600)))
'''
with Child.of_command([sys.executable, "-c", body], print) as running:
    print(running.receive()["pid"], flush=True)
    running.receive()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, env=os.environ, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    wait_until_gone(pid)


def test_progress_bars_and_colours_do_not_reach_the_log() -> None:
    lines: list[str] = []
    body = r"""
for done in (1, 2, 3):
    sys.stderr.write(f'\r {done}/3 |###|')
sys.stderr.write('\n\x1b[32mgreen\x1b[0m\r\n\x1b[2K\n')
sys.stderr.write('\r50%'); emit('step', step=1)"""
    with child(body, lines) as running:
        assert list(running.events()) == [{"event": "step", "step": 1}]
    assert lines == [" 3/3 |###|", "green", "50%"]
