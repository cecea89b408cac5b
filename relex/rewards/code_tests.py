"""1 where the program of a completion passes all tests of its problem, run in a sandbox.

The program is the last fenced block of Python in the text after the thought, without one the last
block, without any the whole text. Where a benchmark wants numbers compared in its way, its tests do
it or say their tolerance. The same program gets the same verdict each time: seeds and the seed of
hashes are fixed, and time is counted in seconds of the processor. What a sandbox keeps from it, and
how, docs/code.md says.
"""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile
from typing import Any

from relex.boxed import final_text
from relex.digests import sha256_json
from relex.doors.plugins import refusal
from relex.errors import ProblemError, RewardError
from relex.problems import Extra
from relex.problems.code_tests import CodeTests, ProgramRun, tests_of
from relex.rewards.contract import CORRECT, Verdict
from relex.rewards.same import same_output, same_value
from relex.rewards.sandbox import MOST_RUNS, Ended, Kind, Limits, Sandbox, Worker
from relex.visible import one_line

# Possessive: a long line that is almost one must not take the square of its length.
FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)\s*+([^`]*+)")
CODE_INDENT = 4
PYTHON = re.compile(r"\W*(python|py)[\d.]*\b", re.IGNORECASE)
NUM_NAMED = 3
REASON_CHARACTERS = 100
RAISED_CHARACTERS = 1000
RESULT_BYTES = 4 << 20
MOST_KNOWN = 100_000
PIECE = 64
WITHOUT_SANDBOX = "code_tests_without_sandbox"
PASSED, WRONG, NO_CODE, NO_PYTHON = "", "wrong", "no code", "no Python"


@dataclass(frozen=True)
class Task:
    """A program and what it has to pass."""

    program: str
    tests: CodeTests
    has_code: bool = True


@dataclass
class _Block:
    fence: str
    indent: int
    is_python: bool
    is_closed: bool = False
    lines: list[str] = field(default_factory=list)


class PassesTests:
    """Grades in processes of a sandbox."""

    # The number is raised whenever a rule of ours changes, so that scores by others stand apart.
    RULES = f"3+python-{sys.version_info[0]}.{sys.version_info[1]}"
    SANDBOX: Kind = "bubblewrap"

    def __init__(self, fraction: bool = False) -> None:
        """`fraction`: the share of tests that pass, for training; else none or all.

        Raises RewardError where the machine cannot run the sandbox.
        """
        self._fraction = fraction
        self._sandbox = Sandbox(self.SANDBOX)
        self._known: dict[str, Verdict] = {}

    def __call__(
        self, *, completions: Sequence[str], extras: Sequence[Extra], **_: Any
    ) -> list[Verdict]:
        """1.0 where all tests pass, otherwise 0.0 or the share, with the reason. Equal programs for
        equal tests are run once: completions of one question repeat, those of candidates, too."""
        distinct = {id(extra): extra for extra in extras}
        tests = {number: _tests(extra) for number, extra in distinct.items()}
        digests = {number: sha256_json(it.model_dump()) for number, it in tests.items()}
        pairs = list(zip(completions, map(id, extras), strict=True))
        keys = [sha256_json([text, digests[number]]) for text, number in pairs]
        known = self._known
        verdicts = {key: known[key] for key in keys if key in known}
        tasks = {
            key: task_of(text, tests[number])
            for key, (text, number) in zip(keys, pairs, strict=True)
            if key not in verdicts
        }
        verdicts |= zip(tasks, self._judge_all(list(tasks.values())), strict=True)
        if len(self._known) > MOST_KNOWN:
            self._known = {}  # another thread may be looking at the old ones
        self._known |= verdicts
        return [verdicts[key] for key in keys]

    def verify_golds(self, answers: Sequence[str], extras: Sequence[Extra]) -> list[bool]:
        """Whether each gold answer passes its own tests, where it is a program."""
        tests = [_tests(extra) for extra in extras]
        tasks = [Task(it.prefix + gold, it) for gold, it in zip(answers, tests, strict=True)]
        solved = [task for task in tasks if task.tests.is_solved]
        verdicts = iter(self._judge_all(solved))
        return [not it.is_solved or next(verdicts) == CORRECT for it in tests]

    def close(self) -> None:
        """End the processes of the sandbox."""
        self._sandbox.close()

    def _judge_all(self, tasks: Sequence[Task]) -> list[Verdict]:
        """Many are read in one process, and only those that are Python get one of their own, which
        costs more than all else."""
        pieces = [tasks[start : start + PIECE] for start in range(0, len(tasks), PIECE)]
        faults = list(chain.from_iterable(self._sandbox.map(_faults, pieces)))
        runnable = [task for task, fault in zip(tasks, faults, strict=True) if not fault]
        judged = iter(self._sandbox.map(self._judge, runnable))
        return [Verdict(0.0, fault) if fault else next(judged) for fault in faults]

    def _judge(self, worker: Worker, task: Task) -> Verdict:
        tests, num = task.tests, task.tests.num_tests
        if tests.runs:
            reasons = self._runs(worker, task)
        else:
            reasons = self._calls(worker, task) if tests.calls else _asserts(worker, task)
        failed = [(n, reason) for n, reason in enumerate(reasons, start=1) if reason != PASSED]
        if not failed:
            return Verdict(CORRECT, "")
        named = "; ".join(f"test {n}: {reason}" for n, reason in failed[:NUM_NAMED])
        num_passed = reasons.count(PASSED)
        return Verdict(num_passed / num if self._fraction else 0.0, f"{named} (of {num})")

    def _runs(self, worker: Worker, task: Task) -> list[str]:
        """A reason for each run; those after the first that fails are left out where they change
        nothing, and after one that took too long in any case.

        A run fails in a process of its own: most wrong programs do at the first. After one that
        passed, those that pass in one process are taken together, as long as all of them do: one
        that hangs there costs its time once.
        """
        runs, reasons, is_shared = task.tests.runs, list[str](), True
        while len(reasons) < len(runs):
            reasons += _run(worker, task, runs[len(reasons) :][:1])
            if reasons[-1] == "timeout" or (reasons[-1] != PASSED and not self._fraction):
                break
            if is_shared and reasons[-1] == PASSED and len(reasons) < len(runs):
                several = runs[len(reasons) :][:MOST_RUNS]
                together = _run(worker, task, several)
                is_shared = together == [PASSED] * len(several)
                reasons += takewhile(lambda reason: reason == PASSED, together)
        return reasons

    def _calls(self, worker: Worker, task: Task) -> list[str]:
        """A reason for each call. They share a process while its time lasts, and go on in another
        one: a call took too long that did so as the first."""
        tests, reasons = task.tests, list[str]()
        while True:
            calls = tests.calls[len(reasons) :]
            asked = [(call.function, call.arguments) for call in calls]
            ended = worker.calls(task.program, asked, Limits(seconds=tests.seconds))
            # No more than there may be: millions, each an object of its own, would fill the memory.
            lines = ended.output.split(b"\n", len(calls))[:-1]
            reasons += [
                _returned(line, call.expected, tests.tolerance)
                for line, call in zip(lines, calls, strict=False)
            ]
            decided = not self._fraction and any(reason != PASSED for reason in reasons)
            if decided or not lines or len(lines) == len(calls) or ended.reason != "timeout":
                return _completed(reasons, tests, ended)


class PassesTestsUnsafely(PassesTests):
    """The same with limits and no sandbox: a program can do whatever the user can."""

    SANDBOX: Kind = "none"

    def __init__(self, fraction: bool = False) -> None:
        """As PassesTests. Raises RewardError where the operator of a worker does not allow it."""
        reason = refusal(WITHOUT_SANDBOX)
        if reason:
            raise RewardError(f"reward {WITHOUT_SANDBOX}: {reason}; or name code_tests")
        super().__init__(fraction)


def _faults(worker: Worker, tasks: Sequence[Task]) -> list[str]:
    """Why programs cannot be run, empty where they can."""
    reasons = worker.no_python([task.program for task in tasks])
    return [_fault(task, reason) for task, reason in zip(tasks, reasons, strict=True)]


def _fault(task: Task, no_python: str) -> str:
    if not task.has_code:
        return NO_CODE
    return one_line(f"{NO_PYTHON}: {no_python}", REASON_CHARACTERS) if no_python else ""


def _tests(extra: Extra) -> CodeTests:
    try:
        return tests_of(extra)
    except ProblemError as error:
        raise RewardError(str(error)) from error


def _run(worker: Worker, task: Task, runs: Sequence[ProgramRun]) -> list[str]:
    """A reason for each of the runs in one process, to the one that ended it."""
    limits = Limits(seconds=task.tests.seconds)
    ended = worker.scripts(task.program, [run.given for run in runs], limits)
    return [_judged(*pair, task.tests.tolerance) for pair in zip(ended, runs, strict=False)]


def _judged(ended: Ended, run: ProgramRun, tolerance: float) -> str:
    if ended.reason:
        return ended.reason
    printed = ended.output.decode("utf-8", "replace")
    return PASSED if same_output(printed, run.expected, tolerance) else WRONG


def _returned(line: bytes, expected: Any, tolerance: float) -> str:
    """What is wrong with a result, whose line the program could have written itself."""
    try:
        if len(line) > RESULT_BYTES:
            return WRONG
        answer = json.loads(line)
        if "raised" in answer:
            kind, text = answer["raised"]
            raised = f"exception: {kind}: {text}"[:RAISED_CHARACTERS]
            return "memory" if kind == "MemoryError" else one_line(raised, REASON_CHARACTERS)
        return PASSED if same_value(answer["value"], expected, tolerance) else WRONG
    except Exception:  # of whatever kind: it is no answer
        return WRONG


def _asserts(worker: Worker, task: Task) -> list[str]:
    """A reason for each assert, in one process of the program."""
    tests = task.tests
    asked = {"asserts": tests.asserts, "names": tests.names, "setup": tests.setup}
    ended = worker.tests(task.program, asked, Limits(seconds=tests.seconds))
    verdicts = [json.loads(line) for line in ended.output.split(b"\n")[:-1]]
    reasons = [
        PASSED if passed else one_line(reason, REASON_CHARACTERS) for passed, reason in verdicts
    ]
    return _completed(reasons, tests, ended)


def _completed(reasons: list[str], tests: CodeTests, ended: Ended) -> list[str]:
    """With the reason of the end for tests that it kept from being answered."""
    missing = tests.num_tests - len(reasons)
    return reasons + [ended.reason or "ended the program"] * missing


def task_of(completion: str, tests: CodeTests) -> Task:
    """The program of a completion, with what its tests put before it."""
    code = program_of(completion)
    return Task(tests.prefix + code, tests, has_code=bool(code.strip()))


def program_of(completion: str) -> str:
    """The last fenced block of the text after the thought, of those in Python where there are such;
    without one the whole text. A block that does not end is taken where no other is there."""
    text = final_text(completion)
    blocks = reversed(_blocks(text))
    best = max(blocks, key=lambda block: (block.is_python, block.is_closed), default=None)
    return text if best is None else "".join(best.lines)


def _blocks(text: str) -> list[_Block]:
    """The fenced blocks of Markdown. A fence with a language always begins one: models forget to
    end them."""
    blocks: list[_Block] = []
    for line in text.splitlines(keepends=True):
        found = FENCE.fullmatch(line.rstrip())
        begun = blocks[-1] if blocks and not blocks[-1].is_closed else None
        if begun and found and len(found[1]) >= begun.indent + CODE_INDENT:
            found = None  # of a text in the program
        if found and (found[3] or not begun):
            blocks.append(_Block(found[2], len(found[1]), bool(PYTHON.match(found[3]))))
        elif found and begun and found[2].startswith(begun.fence):
            begun.is_closed = True
        elif begun:
            # Without the indentation of a fence in a list.
            space = len(line) - len(line.lstrip(" \t"))
            begun.lines.append(line[min(begun.indent, space) :])
    return blocks
