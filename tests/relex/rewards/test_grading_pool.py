"""The life of the grading processes: threads, deaths, and the end of the program."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from relex.errors import RewardError
from relex.grading_side import MEMORY_BYTES
from relex.rewards.grading_pool import GradingPool, GradingWorker
from relex.rewards.math_equality import WORKER_FILE
from tests.processes import command_line
from tests.waiting import wait_until_gone

EQUAL = {"gold": "$1/2$", "answer": "$0.5$"}
HANGS = {"gold": "$8$", "answer": "$9^{9^{9^{9}}}$"}
PROGRAM = """
import sys
from relex.rewards.grading_pool import GradingPool
from relex.rewards.math_equality import WORKER_FILE
pool = GradingPool("math_equality", WORKER_FILE, float(sys.argv[2]))
assert pool.values([{"gold": "$1/2$", "answer": "$0.5$"}]) == [1.0]
print("graded", flush=True)
sys.stdin.readline()
print("grading", flush=True)
pool.values([{"gold": "$8$", "answer": sys.argv[1]}])
"""


def grading_processes(parent: psutil.Process) -> list[psutil.Process]:
    return [child for child in parent.children() if "grading_worker" in command_line(child)]


def run_in_thread(pool: GradingPool) -> list[float]:
    verdicts: list[float] = []
    thread = threading.Thread(target=lambda: verdicts.extend(pool.values([EQUAL])))
    thread.start()
    thread.join()
    return verdicts


def start_program(answer: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A program that has graded once and now grades `answer`, for an hour if need be, with its
    grading processes."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, answer, "3600"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None and program.stdout is not None
    assert program.stdout.readline() == "graded\n"
    # While it waits for a line, its processes are certain to be there.
    children = grading_processes(psutil.Process(program.pid))
    assert children
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.stdout.readline() == "grading\n"
    return program, children


def test_workers_outlive_the_thread_that_started_them() -> None:
    pool = GradingPool("math_equality", WORKER_FILE, 2.0)
    assert run_in_thread(pool) == [True]
    before = grading_processes(psutil.Process())
    assert run_in_thread(pool) == [True]
    assert grading_processes(psutil.Process()) == before


def test_threads_may_share_a_pool() -> None:
    pool = GradingPool("math_equality", WORKER_FILE, 2.0)
    results: list[list[float]] = []
    pairs = [{"gold": f"${index}$", "answer": f"${index % 7}.0$"} for index in range(50)]
    threads = [
        threading.Thread(target=lambda: results.append(pool.values(pairs))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[index < 7 for index in range(50)]] * 4


def test_a_small_batch_starts_one_process_only() -> None:
    pool = GradingPool("math_equality", WORKER_FILE, 2.0)
    before = len(grading_processes(psutil.Process()))
    for _ in range(3):
        pool.values([EQUAL])
    assert len(grading_processes(psutil.Process())) == before + 1


def test_a_worker_that_was_killed_from_outside_does_not_cost_a_verdict() -> None:
    pool = GradingPool("math_equality", WORKER_FILE, 2.0)
    before = set(grading_processes(psutil.Process()))
    pool.values([EQUAL])
    (worker,) = set(grading_processes(psutil.Process())) - before
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert pool.values([EQUAL]) == [True]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep this limit")
def test_the_memory_of_a_worker_is_limited() -> None:
    pool = GradingPool("math_equality", WORKER_FILE, 2.0)
    before = set(grading_processes(psutil.Process()))
    pool.values([EQUAL])
    (worker,) = set(grading_processes(psutil.Process())) - before
    assert worker.rlimit(psutil.RLIMIT_AS) == (MEMORY_BYTES, MEMORY_BYTES)


def test_a_dropped_pool_leaves_no_process() -> None:
    before = grading_processes(psutil.Process())
    pool = GradingPool("math_equality", WORKER_FILE, 2.0)
    pool.values([EQUAL, EQUAL])
    del pool
    assert grading_processes(psutil.Process()) == before


def test_a_program_that_ends_leaves_no_process() -> None:
    program, children = start_program("$8$")
    program.communicate()
    assert program.returncode == 0
    wait_until_gone(children)


@pytest.mark.parametrize("answer", ["$8$", HANGS["answer"]])
def test_a_program_that_is_killed_leaves_no_process(answer: str) -> None:
    program, children = start_program(answer)
    program.kill()
    program.communicate()
    wait_until_gone(children)


def test_a_hang_costs_its_limit_and_the_next_pair_nothing() -> None:
    worker = GradingWorker("math_equality", WORKER_FILE, 0.5)
    assert not worker.judge(HANGS)
    assert worker.judge(EQUAL)
    assert worker.stop() == -signal.SIGTERM


def test_a_verdict_does_not_depend_on_what_else_the_machine_does() -> None:
    """A process that does not run, here because it is stopped, uses up none of its limit."""
    before = set(grading_processes(psutil.Process()))
    worker = GradingWorker("math_equality", WORKER_FILE, 0.5)
    worker.judge(EQUAL)
    (process,) = set(grading_processes(psutil.Process())) - before
    process.suspend()
    threading.Timer(1.0, process.resume).start()
    assert worker.judge({"gold": "$x+y$", "answer": "$y+x$"})
    worker.stop()


def test_a_worker_that_cannot_start_is_an_error_and_no_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "worker.py"
    broken.write_text("import no_such_math_library")
    with pytest.raises(RewardError, match=r"math_equality: its grading process fails .*install"):
        GradingPool("math_equality", broken, 1.0).values([EQUAL])
