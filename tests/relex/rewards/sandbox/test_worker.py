"""Programs in the sandbox: how they end, what they may use, and what is left of them."""

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psutil
import pytest

from relex.config import RewardTerm
from relex.errors import RewardError
from relex.rewards import build_reward
from relex.rewards.sandbox import MOST_RUNS, Ended, Limits, Sandbox
from relex.rewards.sandbox.bubblewrap import INSIDE
from tests.processes import command_line
from tests.waiting import wait_until, wait_until_gone

LIMITS = Limits(seconds=1)
NO_TESTS: Mapping[str, Any] = {"names": ["f"], "setup": ""}


def run(sandbox: Sandbox, program: str, given: str = "", limits: Limits = LIMITS) -> Ended:
    (ended,) = sandbox.map(lambda worker, _: worker.script(program, given, limits), [0])
    return ended


def ask(sandbox: Sandbox, program: str, *asserts: str) -> Ended:
    tests = {**NO_TESTS, "asserts": asserts}
    (ended,) = sandbox.map(lambda worker, _: worker.tests(program, tests, LIMITS), [0])
    return ended


def workers(parent: psutil.Process) -> list[psutil.Process]:
    children = parent.children(recursive=True)
    return [child for child in children if "inside.worker" in command_line(child)]


@pytest.mark.parametrize(
    ("program", "reason", "output"),
    [
        ("print(input() * 2)", "", "abab\n"),
        ("import sys; print(sys.stdin.read().upper()); sys.exit()", "", "AB\n"),
        ("import sys; sys.exit(3)", "exception: SystemExit: 3", ""),
        ("print('one'); 1 / 0", "exception: ZeroDivisionError: division by zero", "one\n"),
        ("def f(:", "exception: SyntaxError: invalid syntax (program.py, line 1)", ""),
        ("while True: pass", "timeout", ""),
        ("import time; time.sleep(3600)", "timeout", ""),
        ("x = [0] * 10 ** 9", "memory", ""),
        ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV", ""),
        ("open('x', 'w').write('kept'); print(open('x').read())", "", "kept\n"),
        (
            "import sys, threading\nthreading.stack_size(1 << 26)\nsys.setrecursionlimit(10 ** 6)\n"
            "def f(n): return n and f(n - 1)\n"
            "threading.Thread(target=lambda: print(f(20000))).start()",
            "",
            "0\n",
        ),
        ("import atexit; atexit.register(print, 'late')", "", "late\n"),
        ("import sys; print(sys.argv, __file__)", "", "['program.py'] program.py\n"),
        (
            "import tempfile\nwith tempfile.NamedTemporaryFile() as f:\n    print(f.write(b'ab'))",
            "",
            "2\n",
        ),
        ("if __name__ == '__main__': print('main')", "", "main\n"),
        ("print('done'); exit()", "", "done\n"),
        ("print('done'); quit(0)", "", "done\n"),
        ("out = open(1, 'w'); out.write('left open')", "", "left open"),
        (
            "import atexit, io, sys\nsys.stdout = io.StringIO()\n"
            "atexit.register(lambda: sys.__stdout__.write(sys.stdout.getvalue()))\nprint('kept')",
            "",
            "kept\n",
        ),
        ("import sys, io; print('first'); sys.stdout = io.StringIO()", "", "first\n"),
        ("class A:\n    def __del__(self): print('gone')\na = A()", "", "gone\n"),
        ("print(len(str(int('9' * 5000))))", "", "5000\n"),
        (
            "from concurrent.futures import ThreadPoolExecutor\nfrom threading import Barrier\n"
            "with ThreadPoolExecutor(40) as pool: print(sum(pool.map(Barrier(40).wait, [9] * 40)))",
            "",
            "780\n",
        ),
        ("import numpy; print(numpy.arange(3).sum())", "", "3\n"),
        (
            "from dataclasses import dataclass\n@dataclass\nclass A: x: int\nprint(A(1))",
            "",
            "A(x=1)\n",
        ),
    ],
)
def test_a_script_runs_as_it_would_outside(
    sandbox: Sandbox, program: str, reason: str, output: str
) -> None:
    assert run(sandbox, program, "ab") == Ended(reason, output.encode())


NO_PYTHON = {
    "def f(:": "invalid syntax (program.py, line 1)",
    "2x + 3": "invalid decimal literal (program.py, line 1)",
    "# coding: nonsense": "unknown encoding: nonsense (program.py, line 0)",
    "[" * 300: "too many nested parentheses (program.py, line 1)",
}
PYTHON = (
    "x = 1",
    "import os; os._exit(3)",
    "while True: pass",
    # These two end the process that reads them: the depth is that of the C stack.
    "-" * 300_000 + "1",
    "x." * 300_000 + "x",
)


def test_programs_that_are_no_python_are_told_apart_and_none_is_run(sandbox: Sandbox) -> None:
    sources = [source for pair in zip([*NO_PYTHON, ""], PYTHON, strict=True) for source in pair]
    (found,) = sandbox.map(lambda worker, given: worker.no_python(given), [sources])
    assert found == [NO_PYTHON.get(source, "") for source in sources]


def test_the_same_program_does_the_same_each_time(sandbox: Sandbox) -> None:
    program = (
        "import random, numpy\n"
        "print(random.random(), numpy.random.rand(), hash('text'), list({'a', 'b', 'c'}))"
    )
    assert len({run(sandbox, program).output for _ in range(3)}) == 1


@pytest.fixture
def crowded_processor() -> Iterator[None]:
    """One processor for this process and what it starts, with three others on it."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    yield
    for other in others:
        other.kill()
        other.wait()
    os.sched_setaffinity(0, processors)


@pytest.mark.usefixtures("sandbox", "crowded_processor")
def test_threads_that_wait_for_the_processor_in_turn_are_not_idle() -> None:
    program = (
        "import threading, time\ndef work():\n    while time.thread_time() < 0.05: pass\n"
        "for n in range(12):\n    thread = threading.Thread(target=work)\n    thread.start()\n"
        "    thread.join()\nprint(1)"
    )
    own = Sandbox()
    ended = run(own, program)
    own.close()
    assert ended == Ended("", b"1\n")


def test_runs_in_one_process_are_as_those_alone(sandbox: Sandbox) -> None:
    program = (
        "import atexit, random, sys, threading\n"
        "number = int(open(0).read())\n"
        "atexit.register(print, 'end')\n"
        "threading.Thread(target=lambda: print(number, random.random())).start()\n"
        "if number % 2: sys.stdin.close()\n"
        "else: sys.exit()"
    )
    givens = [str(number) for number in range(MOST_RUNS)]
    ((*together,),) = sandbox.map(lambda worker, _: worker.scripts(program, givens, LIMITS), [0])
    assert together == [run(sandbox, program, given) for given in givens]
    assert all(ended.reason == "" for ended in together)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("1 / 0", "exception: ZeroDivisionError: division by zero"),
        ("while True: pass", "timeout"),
        ("import os; os._exit(0)", ""),
    ],
)
def test_runs_in_one_process_end_with_the_one_that_ends_it(
    sandbox: Sandbox, end: str, reason: str
) -> None:
    program = f"number = input()\nprint(number, flush=True)\nif number == '2':\n    {end}"
    (found,) = sandbox.map(lambda worker, _: worker.scripts(program, "1234", LIMITS), [0])
    assert found == [Ended("", b"1\n"), Ended(reason, b"2\n")]


def test_runs_in_one_process_print_no_more_than_one(sandbox: Sandbox) -> None:
    program = "import os\nfor n in range(2000):\n    os.write(1, bytes(10000))"
    (found,) = sandbox.map(lambda worker, _: worker.scripts(program, "12345", LIMITS), [0])
    assert 0 < sum(len(ended.output) for ended in found) <= LIMITS.file_bytes


def test_nothing_of_a_program_is_left_for_the_next(sandbox: Sandbox) -> None:
    program = "import os, random\nprint(os.listdir('.'), hasattr(random, 'mark'))\n"
    program += "open('x', 'w').close()\nrandom.mark = 1"
    assert [run(sandbox, program).output for _ in range(2)] == [b"[] False\n"] * 2


def test_nothing_of_an_open_file_is_left_for_the_next(sandbox: Sandbox) -> None:
    """Neither flags nor locks of what stands for its input; the machine's device is behind it."""
    program = (
        "import fcntl, os, struct\nbefore = fcntl.fcntl(0, fcntl.F_GETFL) & os.O_APPEND\n"
        "fcntl.fcntl(0, fcntl.F_SETFL, os.O_APPEND)\n"
        "lock = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)\n"
        "fcntl.fcntl(0, fcntl.F_OFD_SETLK, lock)\ndef f(): return before"
    )
    found = [ask(sandbox, program, "assert f() == 0").output for _ in range(2)]
    assert found == [b'[true, "passed"]\n'] * 2
    with open(os.devnull, "r+b") as null:
        fcntl.fcntl(null, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("result", "written"),
    [
        ("(1, [2.5, None, True])", "(1, [2.5, None, True])"),
        ("{(1, 2): {3}, 'a': b'c'}", "{(1, 2): {3}, 'a': b'c'}"),
        ("10 ** 5000", "10 ** 5000"),
        ("'\\ud800' + chr(0)", "'\\ud800' + chr(0)"),
        ("__import__('collections').Counter('aab')", "{'a': 2, 'b': 1}"),
        ("__import__('numpy').array([[1, 2]])", "[[1, 2]]"),
        ("2 + 3j", "2 + 3j"),
        ("float('inf')", "float('inf')"),
        ("frozenset([1])", "frozenset([1])"),
    ],
)
def test_results_come_back_as_they_are(sandbox: Sandbox, result: str, written: str) -> None:
    program = f"def f(): return {result}"
    code = f"found = f()\nassert found == {written} and type(found) is type({written}), found"
    assert ask(sandbox, program, code).output == b'[true, "passed"]\n'


def test_an_object_stays_in_the_program_and_can_be_given_back(sandbox: Sandbox) -> None:
    program = (
        "class P:\n    def __init__(self, x): self.x = x\ndef f(p=None): return p.x if p else P(7)"
    )
    assert ask(sandbox, program, "assert f(f()) == 7").output == b'[true, "passed"]\n'


def test_a_test_sees_the_programs_exception(sandbox: Sandbox) -> None:
    program = "def f(): raise ValueError('no')"
    expects = "try:\n    f()\n    assert False\nexcept ValueError:\n    pass"
    ended = ask(sandbox, program, expects, "f()")
    assert ended.output == b'[true, "passed"]\n[false, "exception: ValueError: no"]\n'


def test_a_closed_sandbox_leaves_no_process(sandbox: Sandbox) -> None:
    own = Sandbox()
    before = set(workers(psutil.Process()))
    assert run(own, "print(1)").output == b"1\n"
    started = set(workers(psutil.Process())) - before
    assert started
    own.close()
    wait_until_gone(list(started))


PROGRAM = """
from relex.rewards.sandbox import Limits, Sandbox
Sandbox().map(lambda worker, _: print(worker.script("print(1)", "", Limits()).output, flush=True)
    or worker.script("while True: pass", "", Limits(seconds=60)), [0])
"""


def test_a_killed_parent_takes_the_sandbox_along(sandbox: Sandbox) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE)
    assert parent.stdout is not None and parent.stdout.readline() == b"b'1\\n'\n"
    started = workers(psutil.Process(parent.pid))
    assert started
    parent.kill()
    parent.communicate()
    wait_until_gone(started)


def test_a_worker_that_was_killed_does_not_cost_a_verdict(sandbox: Sandbox) -> None:
    """Neither while it is idle nor while the program runs, of which nothing is left then."""
    own = Sandbox()
    before = set(workers(psutil.Process()))
    run(own, "print(1)")
    kill_all(set(workers(psutil.Process())) - before)
    assert run(own, "print(1)").output == b"1\n"
    idle = set(workers(psutil.Process())) - before
    program = (
        "import time\nprint(input(), flush=True)\n"
        f"time.sleep(max(0, {time.time() + 3} - time.time()))"
    )
    with ThreadPoolExecutor() as threads:
        running = threads.submit(run, own, program, "given", Limits(seconds=60))
        # The program is one more.
        wait_until(
            lambda: len(set(workers(psutil.Process())) - before) > len(idle) or running.done()
        )
        kill_all(set(workers(psutil.Process())) - before)
        assert running.result() == Ended("", b"given\n")
    own.close()


def kill_all(processes: Iterable[psutil.Process]) -> None:
    # The first one takes the others along; the last one, alone, would be a program out of time.
    for process in sorted(processes, key=lambda process: process.pid):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_without_bubblewrap_it_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RewardError, match=r"^reward code_tests: bubblewrap.*apt-get install bubbl"):
        build_reward(RewardTerm(reward="code_tests"))


def test_where_namespaces_are_forbidden_the_reason_and_the_cure_are_told(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "bwrap"
    refuses.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1"
    )
    refuses.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(RewardError, match=r"does not start \(bwrap: No permissions.*sysctl"):
        run(Sandbox(), "print(1)")


def test_where_a_worker_starts_and_no_program_does_it_is_refused(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AppArmor may allow the namespaces, and no capability in them."""
    real = shutil.which("bwrap")
    weaker = tmp_path / "bwrap"
    weaker.write_text(f'#!/bin/bash\nexec {real} "${{@/CAP_SYS_ADMIN/CAP_CHOWN}}"')
    weaker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(RewardError, match=r"does not start \(.*clone: Operation not permitted"):
        run(Sandbox(), "print(1)")


def test_without_a_sandbox_a_program_has_a_folder_of_its_own_too() -> None:
    """Where it started stand relex's own files, and what it wrote there the next worker imports."""
    bare, program = Sandbox("none"), "import os; print(os.listdir()); open('numpy.py', 'w').close()"
    before = list(INSIDE.parent.iterdir())
    assert [run(bare, program).output for _ in range(2)] == [b"[]\n"] * 2
    bare.close()
    assert list(INSIDE.parent.iterdir()) == before


ONE_THREAD = """
from relex.rewards.sandbox import Limits, Sandbox
program = "import threading; threading.Thread(target=print, args=[1]).start()"
print(Sandbox().map(lambda worker, _: worker.script(program, "", Limits()), [0]))
"""


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("ulimit -Ss $((1 << 20))", "Ended(reason='', output=b'1\\n')"),
        ("ulimit -f 1000", "does not start (OSError: ulimit: RLIMIT_FSIZE of this user is below"),
    ],
)
def test_limits_of_the_user(limit: str, said: str) -> None:
    command = ["bash", "-c", f'{limit}; exec "$0" -c "$1"', sys.executable, ONE_THREAD]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said in ended.stdout + ended.stderr


def test_where_memory_runs_out_programs_end_before_all_else() -> None:
    bare = Sandbox("none")
    ended = run(bare, "print(open('/proc/self/oom_score_adj').read())")
    bare.close()
    assert ended.output.strip() == b"1000"


def test_a_kill_before_its_time_is_for_memory() -> None:
    bare = Sandbox("none")
    ended = run(bare, "import os; os.kill(os.getpid(), 9)")
    bare.close()
    assert ended.reason == "memory"


def test_a_signal_without_a_name_is_named() -> None:
    bare = Sandbox("none")
    ended = run(bare, "import os; os.kill(os.getpid(), 40)")
    bare.close()
    assert ended.reason == "ended by signal 40"


def test_without_a_sandbox_only_who_may_run_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEX_PLUGINS", ".")
    with pytest.raises(RewardError, match=r"code_tests_without_sandbox: .*RELEX_PLUGINS"):
        build_reward(RewardTerm(reward="code_tests_without_sandbox"))
