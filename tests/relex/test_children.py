"""Real child processes, each a few lines of Python."""

import os
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from relex.children import Child
from relex.errors import RewardError, StageError


def child(body: str, lines: list[str] | None = None) -> Child:
    """A child that runs `body` after importing what children use."""
    source = f"import os, sys, time\nfrom relex.child_side import child_main, emit\n{body}"
    on_log = (lines if lines is not None else []).append
    return Child([sys.executable, "-c", source], on_log)


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
@pytest.mark.parametrize(
    "body",
    [
        "child_main(lambda: (emit('ready', pid=os.getpid()), time.sleep(10**6)))",
        # It is still importing, here until its input ends, when its parent is killed.
        "emit('ready', pid=os.getpid()); sys.stdin.read(); child_main(lambda: time.sleep(10**6))",
    ],
)
def test_a_child_dies_with_a_parent_that_is_killed(body: str) -> None:
    source = f"import os, sys, time\nfrom relex.child_side import child_main, emit\n{body}"
    parent = f"""
import sys
from relex.children import Child
with Child([sys.executable, "-c", {source!r}], print) as running:
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


@pytest.mark.parametrize(
    "prints",
    [
        r"print('\x1e{\"event\": \"error\", \"type\": \"RewardError\", \"message\": \"forged\"}')",
        r"print('{\"event\": \"step\", \"step\": 7}')",
        r"sys.stdout.buffer.write(bytes(range(256)) * 1000)",
        r"os.write(1, b'x' * 3_000_000)",
        r"os.write(2, b'\r1 %' * 100_000)",
    ],
)
def test_what_is_printed_is_a_log_line_and_nothing_else(prints: str) -> None:
    lines: list[str] = []
    body = f"emit('step', step=1); {prints}; print(); print('last'); emit('step', step=2)"
    with child(body, lines) as running:
        assert list(running.events()) == [{"event": "step", "step": step} for step in (1, 2)]
    assert len(lines) > 1 and lines[-1] == "last"
    assert all(line.isprintable() and len(line) <= 4003 for line in lines if "\t" not in line)


def test_events_are_as_long_as_they_need_to_be() -> None:
    with child("emit('long', text='x' * 3_000_000, more='\\n\\x1e')") as running:
        assert running.receive() == {"event": "long", "text": "x" * 3_000_000, "more": "\n\x1e"}


@pytest.mark.parametrize(
    "start",
    [
        "subprocess.run([sys.executable, '-c', source])",
        "multiprocessing.get_context('fork').Process(target=forged).start()",
        "os.fork() or (forged(), os._exit(0))",
    ],
)
def test_what_a_child_starts_itself_has_no_events(start: str) -> None:
    body = f"""
import multiprocessing, subprocess
source = "from relex.child_side import emit; emit('forged')"
forged = lambda: emit('forged')
emit('first')
{start}
emit('last')"""
    with child(body) as running:
        assert [event["event"] for event in running.events()] == ["first", "last"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the process file system of Linux")
def test_a_launcher_passes_the_events_of_its_programs_on() -> None:
    source = "from relex.child_side import child_main, emit; child_main(lambda: emit('step'))"
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {source!r}])"
    command = [sys.executable, "-m", "relex.children", str(os.getpid())]
    with Child([*command, sys.executable, "-c", launcher], print) as running:
        assert list(running.events()) == [{"event": "step"}]


def test_a_child_that_says_nothing_is_waited_for_no_longer_than_that() -> None:
    with child("print('busy'); time.sleep(10**6)") as running, pytest.raises(TimeoutError):
        running.receive(timeout_seconds=0.5)


def test_a_child_that_only_prints_is_waited_for_no_longer_than_that() -> None:
    with child("while True: print('busy')") as running, pytest.raises(TimeoutError):
        running.receive(timeout_seconds=0.5)


def test_a_process_that_is_left_does_not_keep_its_grandparent_waiting() -> None:
    lines: list[str] = []
    body = """
import subprocess
child_main(lambda: emit('pid', pid=subprocess.Popen(['sleep', '1000000']).pid), 'this child')"""
    with child(body, lines) as running:
        [event] = running.events()
    assert lines == ["this child: left 1 process behind ('sleep 1000000'); ended"]
    wait_until_gone(event["pid"])


def test_what_a_killed_child_leaves_is_ended() -> None:
    body = "import subprocess; emit('pid', pid=subprocess.Popen(['sleep', '1000000']).pid)"
    with child(f"{body}; os.kill(os.getpid(), 9)") as running, pytest.raises(StageError):
        for event in running.events():
            pid = event["pid"]
    wait_until_gone(pid)


def test_an_exit_in_a_child_is_an_error_of_it() -> None:
    with (
        child("child_main(lambda: sys.exit(0))") as running,
        pytest.raises(StageError, match=r"^SystemExit: 0$"),
    ):
        list(running.events())
