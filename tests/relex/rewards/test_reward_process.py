"""A user's reward harms only its own process, whatever it does there."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from relex.config import RewardTerm
from relex.errors import RewardError
from relex.rewards import CheckedReward, build_reward, build_rewards, end_rewards
from relex.rewards.process import RewardProcess

COMPLETIONS = ["first", "second"]
HONEST = "def pay(completions, **_): return [float(len(text)) for text in completions]"
Write = Callable[[str], RewardTerm]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module and names its function `pay` as a reward."""
    monkeypatch.syspath_prepend(tmp_path)
    names = (f"wild{number}" for number in range(100))

    def write_one(source: str) -> RewardTerm:
        name = next(names)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return RewardTerm(reward=f"{name}:pay")

    yield write_one


def grade(reward: CheckedReward, completions: list[str] = COMPLETIONS) -> list[float]:
    return reward(prompts=completions, completions=completions, answers=completions)


def refusal(term: RewardTerm, limit_seconds: float = 0.0) -> str:
    with pytest.raises(RewardError) as caught:
        grade(build_reward(term, limit_seconds))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def worker_of(reward: CheckedReward) -> psutil.Process:
    assert isinstance(reward.function, RewardProcess)
    return psutil.Process(reward.function.pid)


def wait_until_gone(pid: int) -> None:
    """Returns only then; an orphan may stay a zombie where nothing collects it."""
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)


def test_it_is_one_process_that_keeps_what_it_loads(write: Write) -> None:
    reward = build_reward(
        write("""
        calls = []
        def pay(completions, **_):
            calls.append(1)
            return [float(len(calls))] * len(completions)
    """)
    )
    assert [grade(reward), grade(reward), grade(reward, [])] == [[1.0] * 2, [2.0] * 2, []]


def test_any_text_reaches_it_and_any_number_comes_back(write: Write) -> None:
    texts = ["", "\x00\x1e\n\r\u2028", "\ud800", "x" * 1_000_000, '{"event": "error"}']
    reward = build_reward(
        write("""
        def pay(completions, answers, prompts, extras):
            assert completions == answers == prompts
            assert extras == [{}] * len(completions)
            return [len(text) / 3 for text in completions]
    """)
    )
    assert grade(reward, texts) == [len(text) / 3 for text in texts]


def test_what_a_grader_needs_reaches_it_in_the_order_of_the_completions(write: Write) -> None:
    source = "def pay(extras, **_): return [extra['tests'][0] for extra in extras]"
    extras = [{"tests": [1.5]}, {"tests": [2]}]
    values = build_reward(write(source))(
        prompts=COMPLETIONS, completions=COMPLETIONS, answers=COMPLETIONS, extras=extras
    )
    assert values == [1.5, 2.0]


@pytest.mark.parametrize("code", ["0", "1", "'bye'", ""])
@pytest.mark.parametrize("place", ["in the call", "in a generator", "at import"])
def test_an_exit_is_an_error_that_names_the_reward(write: Write, code: str, place: str) -> None:
    source = {
        "in the call": f"import sys\ndef pay(completions, **_): sys.exit({code})",
        "in a generator": f"import sys\ndef pay(completions, **_): yield sys.exit({code})",
        "at import": f"import sys\nsys.exit({code})",
    }
    message = refusal(write(source[place]))
    assert "SystemExit: " in message
    assert message.startswith("reward wild0")
    assert place == "at import" or message.endswith("; completion 1 of 2: 'first'")


@pytest.mark.parametrize(
    ("act", "status"),
    [
        ("os._exit(0)", 0),
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), 9)", -9),
        ("os.abort()", -6),
        ("ctypes.string_at(0)", -11),
        (
            "sys.stdout.flush(); threading.Thread(target=os._exit, args=[0]).start(); "
            "threading.Event().wait()",
            0,
        ),
    ],
)
@pytest.mark.parametrize("place", ["in the call", "at import"])
def test_a_process_that_ends_is_an_error_that_names_the_reward(
    write: Write, act: str, status: int, place: str
) -> None:
    imports = "import ctypes, os, sys, threading"
    if place == "at import":
        message = refusal(write(f"{imports}\nprint('importing')\n{act}"))
        assert f"reward wild0.pay: its process ended with status {status} while it was" in message
    else:
        message = refusal(write(f"{imports}\ndef pay(completions, **_):\n    {act}"))
        assert message.startswith(
            f"reward wild0.pay: its process ended with status {status} on 2 completions, the first "
            "of them 'first'"
        )


@pytest.mark.parametrize("act", ["sys.exit(0)", "raise SystemExit(1)", "1 / 0"])
def test_what_its_threads_raise_is_their_own(write: Write, act: str) -> None:
    reward = build_reward(
        write(f"""
        import sys, threading
        def act():
            {act}
        def pay(completions, **_):
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()
            return [1.0] * len(completions)
    """)
    )
    assert grade(reward) == [1.0, 1.0]


ENDLESS = {
    "a loop": "while True: pass",
    "sleep": "time.sleep(10**6)",
    "a regular expression, which lets no other thread run": "re.match(r'(a+)+b', 'a' * 99)",
    "a loop that catches everything": (
        "while True:\n        try: time.sleep(1)\n        except BaseException: pass"
    ),
    "a loop that prints": "while True: print('x' * 1000)",
    "a process that it waits for": "subprocess.run(['sleep', '1000000'])",
    "its input": "sys.stdin.read(); threading.Event().wait()",
    "a deaf loop": "signal.signal(15, signal.SIG_IGN)\n    while True: pass",
}


@pytest.mark.parametrize("act", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_reward_is_ended_at_its_limit(
    write: Write, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relex.children.GRACE_SECONDS", 1.0)
    imports = "import re, signal, subprocess, sys, threading, time"
    reward = build_reward(write(f"{imports}\ndef pay(completions, **_):\n    {act}"))
    monkeypatch.setattr(reward.function, "_limit_seconds", 0.5)
    worker = worker_of(reward)
    with pytest.raises(RewardError) as caught:
        grade(reward)
    assert str(caught.value) == (
        "reward wild0.pay: took longer than 0.5 s on 2 completions, the first of them 'first', and "
        "was ended; make it faster, or raise reward_seconds"
    )
    wait_until_gone(worker.pid)


def test_an_endless_import_is_ended_at_its_limit(write: Write) -> None:
    message = refusal(write("while True: pass"), limit_seconds=2.0)
    assert "wild0.pay: took longer than 2 s while it was imported, and was ended" in message


def test_the_limit_grows_with_the_batch(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = build_reward(write("import time\ndef pay(**_): time.sleep(10**6)"))
    monkeypatch.setattr(reward.function, "_limit_seconds", 0.1)
    with pytest.raises(RewardError, match=r"took longer than 0.3 s on 201 completions"):
        grade(reward, ["x"] * 201)


PRINTS = {
    "record separators": r"print('\x1e 12')",
    "an event": r"""print('{"event": "values", "values": [7.0, 7.0]}')""",
    "an error behind a separator": r"""print('\x1e{"event": "error", "type": "StageError"}')""",
    "bytes that are no text": r"sys.stdout.buffer.write(bytes(range(256)) * 9)",
    "megabytes without an end of line": r"print('x' * 5_000_000, end='')",
    "megabytes of lines": r"print('x\n' * 100_000)",
    "a progress bar": r"print(*(f'\r{n} %' for n in range(100)), end='')",
    "to the descriptors": r"[os.write(n, b'{\"event\": \"values\"}\n') for n in (1, 2)]",
    "by a process": r"subprocess.run(['echo', '{\"event\": \"values\"}'])",
    "by a fork": r"os.fork() or (print('fork'), emit('values', values=[]), os._exit(0))",
    "after closing its output": r"sys.stdout.close(), sys.stderr.close(), os.closerange(1, 3)",
}


@pytest.mark.parametrize("prints", PRINTS.values(), ids=PRINTS)
def test_what_it_prints_is_never_taken_for_an_event(write: Write, prints: str) -> None:
    imports = "import os, subprocess, sys\nfrom relex.child_side import emit"
    source = f"{imports}\ndef pay(completions, **_):\n    {prints}\n    return [1.0, 2.0]"
    reward = build_reward(write(source))
    assert [grade(reward), grade(reward)] == [[1.0, 2.0]] * 2


def test_what_it_prints_is_said(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    grade(build_reward(write(f"print('imported', flush=True)\n{HONEST}")))
    assert capsys.readouterr().err == "imported\n"


def test_two_rewards_and_the_given_lists_are_apart(write: Write) -> None:
    changes = """
        def pay(completions, answers, prompts, extras):
            for column in (completions, answers, prompts, extras):
                column[:] = ["changed"]
            return [0.0, 0.0]
    """
    rewards = build_rewards([write(changes), write(HONEST), RewardTerm(reward="exact_match")])
    given = list(COMPLETIONS)
    assert [grade(reward, given) for reward in rewards] == [[0.0, 0.0], [5.0, 6.0], [1.0, 1.0]]
    assert given == COMPLETIONS


LEAVES = {
    "a thread": ("threading.Thread(target=time.sleep, args=[10**6]).start()", "1 thread"),
    "threads": (
        "[threading.Thread(target=time.sleep, args=[10**6]).start() for _ in range(9)]",
        "9 threads",
    ),
    "a timer": ("threading.Timer(10**6, print).start()", "1 thread"),
    "a pool at work": ("ThreadPoolExecutor(2).submit(time.sleep, 10**6)", "1 thread"),
    "a process": ("subprocess.Popen(['sleep', '1000000'])", "1 process"),
    "a deaf process": (
        "subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 1000000; :'])",
        "2 processes",
    ),
    "a process in another session": (
        "subprocess.Popen(['sleep', '1000000'], start_new_session=True)",
        "1 process",
    ),
    "a process of Python": (
        "multiprocessing.get_context('fork').Process(target=time.sleep, args=[10**6]).start()",
        "1 process",
    ),
}


@pytest.mark.parametrize(("act", "left"), LEAVES.values(), ids=LEAVES)
def test_what_it_leaves_behind_is_named_and_ended(
    write: Write, act: str, left: str, capsys: pytest.CaptureFixture[str]
) -> None:
    imports = (
        "import multiprocessing, subprocess, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor"
    )
    source = f"{imports}\ndef pay(completions, **_):\n    {act}\n    return [1.0, 2.0]"
    reward = build_reward(write(source))
    assert grade(reward) == [1.0, 2.0]
    worker = worker_of(reward)
    processes = [worker, *worker.children(recursive=True)]
    end_rewards([reward])
    for process in processes:
        wait_until_gone(process.pid)
    said = capsys.readouterr().err
    assert f"reward wild0.pay: left {left} behind (" in said and said.endswith("; ended\n")


TIDY = {
    "nothing": "pass",
    "a daemon": "threading.Thread(target=time.sleep, args=[10**6], daemon=True).start()",
    "an idle pool": "ThreadPoolExecutor(2).submit(len, 'x').result()",
    "a process that ended": "subprocess.run(['true'])",
}


@pytest.mark.parametrize("act", TIDY.values(), ids=TIDY)
def test_a_reward_that_leaves_nothing_comes_to_its_end_in_peace(
    write: Write, act: str, capsys: pytest.CaptureFixture[str]
) -> None:
    imports = (
        "import atexit, subprocess, threading, time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "atexit.register(print, 'flushed', flush=True)"
    )
    source = f"{imports}\ndef pay(completions, **_):\n    {act}\n    return [1.0, 2.0]"
    reward = build_reward(write(source))
    grade(reward)
    end_rewards([reward])
    assert capsys.readouterr().err == "flushed\n"


def test_a_dropped_reward_leaves_no_process(write: Write) -> None:
    reward = build_reward(write(HONEST))
    worker = worker_of(reward)
    del reward
    wait_until_gone(worker.pid)


def test_it_outlives_the_thread_that_built_it(write: Write) -> None:
    term = write(HONEST)
    with ThreadPoolExecutor(1) as thread:
        reward = thread.submit(build_reward, term).result()
    assert grade(reward) == [5.0, 6.0]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the parent-death signal of Linux")
def test_a_program_that_is_killed_leaves_no_process(write: Write) -> None:
    """Not even of a reward that lets no other thread run."""
    term = write(
        "import re\ndef pay(**_): print('hangs', flush=True); re.match('(a+)+b', 'a' * 99)"
    )
    program = f"""
import os
from relex.config import RewardTerm
from relex.rewards import build_reward
import psutil
reward = build_reward(RewardTerm(reward={term.reward!r}))
print(psutil.Process().children()[0].pid, flush=True)
reward(prompts=['x'], completions=['x'], answers=['x'])
"""
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        pid = int(process.stdout.readline())
        assert process.stderr.readline() == "hangs\n"
        process.kill()
    wait_until_gone(pid)
