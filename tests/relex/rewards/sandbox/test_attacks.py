"""What a program of a model may try, and does not get. docs/code.md says how many were tried."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relex.config import RewardTerm
from relex.rewards import CheckedReward, build_reward, end_rewards
from relex.rewards.sandbox import Ended, Limits, Sandbox, Worker
from tests.relex.rewards.sandbox.attacks import (
    FORGERIES,
    PATIENT,
    PREAMBLE,
    PRINTED,
    REACHES,
    READS,
    RUINS,
    SPOILING,
)

LIMITS = Limits(seconds=1, memory_bytes=256 << 20)
ASSERTS = {"names": ["f"], "asserts": ["assert f(1) == 2", "assert f(17) == 4242"]}
CALLS = {
    "calls": [
        {"function": "f", "arguments": [given], "expected": expected}
        for given, expected in ((1, 2), (17, 4242))
    ]
}
RUN = {"runs": [{"given": "5", "expected": "8471"}]}
SECRET = "RELEX_TEST_SECRET"


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> Iterator[dict[str, str]]:
    """What there is to be got: a listener, a process, a folder, a file, an environment."""
    folder = tmp_path_factory.mktemp("host")
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        victim = subprocess.Popen(["sleep", "3600"])
        yield {
            "PORT": str(server.getsockname()[1]),
            "VICTIM": str(victim.pid),
            "HOST_FOLDER": str(folder),
            "MACHINE": os.uname().nodename,
            "HERE": str(Path(__file__).resolve()),
        }
        assert victim.poll() is None
        victim.kill()
        victim.wait()
        assert list(folder.iterdir()) == []
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture(scope="module")
def tried(sandbox: Sandbox, places: dict[str, str]) -> dict[str, Ended]:
    """All that read and reach, run once in a few workers."""

    def run(worker: Worker, expression: str) -> Ended:
        for name, value in places.items():
            expression = expression.replace(name, value)
        program = f"{PREAMBLE}\nfound = {expression}\nprint('ESCAPED' if found else 'kept', found)"
        return worker.script(program, "", LIMITS)

    attacks = READS | REACHES
    return dict(zip(attacks, sandbox.map(run, attacks.values()), strict=True))


@pytest.mark.parametrize("name", READS | REACHES)
def test_what_is_outside_cannot_be_got(tried: dict[str, Ended], name: str) -> None:
    ended = tried[name]
    # A call that the kernel answers with a kill prints nothing.
    assert ended.output.startswith(b"kept") or ended.reason.startswith("ended by"), ended


@pytest.mark.parametrize("name", ["the passwords of the machine", "the repository", "a child"])
def test_without_a_sandbox_the_same_programs_get_it(places: dict[str, str], name: str) -> None:
    """So they try what they say."""
    expression = (READS | REACHES)[name].replace("HERE", places["HERE"])
    program = f"{PREAMBLE}\nfound = {expression}\nprint('ESCAPED' if found else 'kept')"
    bare = Sandbox("none")
    (ended,) = bare.map(lambda worker, _: worker.script(program, "", LIMITS), [0])
    assert b"ESCAPED" in ended.output  # after what its child says, if that is faster
    bare.close()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in PATIENT else name for name in RUINS],
)
def test_what_would_ruin_the_machine_ends(sandbox: Sandbox, name: str) -> None:
    def run(worker: Worker, program: str) -> Ended:
        return worker.script(program, "", LIMITS)

    ended, after = sandbox.map(run, [f"{PREAMBLE}\n{RUINS[name]}", "print(1)"])
    assert ended.reason
    assert len(ended.output) <= LIMITS.file_bytes
    assert after == Ended("", b"1\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel counts threads of other users")
def test_root_gets_no_more_threads_than_others(sandbox: Sandbox) -> None:
    program = f"{PREAMBLE}\n{RUINS['a bomb of threads in C']}"
    (ended,) = sandbox.map(lambda worker, _: worker.script(program, "", LIMITS), [0])
    assert ended.reason == "threads"


@pytest.fixture(scope="module")
def grader(sandbox: Sandbox) -> Iterator[CheckedReward]:
    grader = build_reward(RewardTerm(reward="code_tests"))
    yield grader
    end_rewards([grader])


def value(grader: CheckedReward, program: str, tests: dict[str, Any]) -> float:
    completion = f"{PREAMBLE}\n{program}"
    extras = [{"tests": tests | {"seconds": 1}}]
    return grader(prompts=[""], completions=[completion], answers=[""], extras=extras)[0]


def test_honest_programs_pass_these_tests(grader: CheckedReward) -> None:
    for tests in (ASSERTS, CALLS):
        assert value(grader, "def f(x): return {1: 2, 17: 4242}[x]", tests) == 1
    assert value(grader, "print(8471 if int(input()) == 5 else 0)", RUN) == 1


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_result_is_worth_nothing(grader: CheckedReward, name: str) -> None:
    assert [value(grader, FORGERIES[name], tests) for tests in (ASSERTS, CALLS)] == [0, 0]


@pytest.mark.parametrize("name", PRINTED)
def test_a_forged_output_is_worth_nothing(grader: CheckedReward, name: str) -> None:
    assert value(grader, PRINTED[name], RUN) == 0


@pytest.mark.parametrize("name", SPOILING)
def test_a_run_that_forges_the_next_one_gains_nothing(grader: CheckedReward, name: str) -> None:
    """The first run is right; the second, which shares a process with the third, is not."""
    runs = [
        {"given": given, "expected": out} for given, out in (("1", "2"), ("5", "8471"), ("", ""))
    ]
    assert value(grader, SPOILING[name], {"runs": runs}) == 0


def test_the_number_of_attacks_is_the_one_of_the_docs() -> None:
    num = sum(map(len, (READS, REACHES, RUINS, FORGERIES, PRINTED, SPOILING)))
    text = (Path(__file__).parents[4] / "docs" / "code.md").read_text()
    assert f"{num} attacks" in text
