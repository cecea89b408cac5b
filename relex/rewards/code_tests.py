"""1 where the program of a completion passes all tests of its problem, run in a sandbox.

The program is the last fenced block of Python in the text after the thought, without one the last
block, without any the whole text. Where a benchmark wants numbers compared in its way, its tests do
it or say their tolerance. The same program gets the same verdict each time: seeds and the seed of
hashes are fixed, and time is counted in seconds of the processor. What a sandbox keeps from it, and
how, docs/code.md says.
"""

import json
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from relex.boxed import final_text
from relex.doors.plugins import refusal
from relex.errors import ProblemError, RewardError
from relex.problems import Extra
from relex.problems.code_tests import CodeTests, ProgramRun, tests_of
from relex.rewards.contract import CORRECT, Verdict
from relex.rewards.sandbox import Kind, Limits, Sandbox, Worker
from relex.visible import one_line

FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})\s*([^`]*)")
CODE_INDENT = 4
PYTHON = re.compile(r"\W*(python|py)[\d.]*\b", re.IGNORECASE)
NUM_NAMED = 3
REASON_CHARACTERS = 100
WITHOUT_SANDBOX = "code_tests_without_sandbox"
PASSED, WRONG, NO_CODE = "", "wrong", "no code"


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
    """Grades in processes of a sandbox, as many at a time as there are processors."""

    # The number is raised whenever a rule of ours changes, so that scores by others stand apart.
    RULES = f"2+python-{sys.version_info[0]}.{sys.version_info[1]}"
    SANDBOX: Kind = "bubblewrap"

    def __init__(self, fraction: bool = False) -> None:
        """`fraction`: the share of tests that pass, for training; else none or all.

        Raises RewardError where the machine cannot run the sandbox.
        """
        self._fraction = fraction
        self._sandbox = Sandbox(self.SANDBOX)

    def __call__(
        self, *, completions: Sequence[str], extras: Sequence[Extra], **_: Any
    ) -> list[Verdict]:
        """1.0 where all tests pass, otherwise 0.0 or the share, with the reason."""
        # The completions of a question share its tests, and some are equal.
        tests = {id(extra): _tests(extra) for extra in extras}
        keys = [(text, id(extra)) for text, extra in zip(completions, extras, strict=True)]
        tasks = {key: task_of(key[0], tests[key[1]]) for key in dict.fromkeys(keys)}
        verdicts = dict(zip(tasks, self._sandbox.map(self._judge, tasks.values()), strict=True))
        return [verdicts[key] for key in keys]

    def verify_golds(self, answers: Sequence[str], extras: Sequence[Extra]) -> list[bool]:
        """Whether each gold answer passes its own tests, where it is a program."""
        tests = [_tests(extra) for extra in extras]
        tasks = [Task(it.prefix + gold, it) for gold, it in zip(answers, tests, strict=True)]
        solved = [task for task in tasks if task.tests.is_solved]
        verdicts = iter(self._sandbox.map(self._judge, solved))
        return [not it.is_solved or next(verdicts) == CORRECT for it in tests]

    def close(self) -> None:
        """End the processes of the sandbox."""
        self._sandbox.close()

    def _judge(self, worker: Worker, task: Task) -> Verdict:
        if not task.has_code:
            return Verdict(0.0, NO_CODE)
        reasons = self._runs(worker, task) if task.tests.runs else _asks(worker, task)
        num = task.tests.num_tests
        failed = [(n, reason) for n, reason in enumerate(reasons, start=1) if reason != PASSED]
        if not failed:
            return Verdict(CORRECT, "")
        named = "; ".join(f"test {n}: {reason}" for n, reason in failed[:NUM_NAMED])
        num_passed = reasons.count(PASSED)
        return Verdict(num_passed / num if self._fraction else 0.0, f"{named} (of {num})")

    def _runs(self, worker: Worker, task: Task) -> list[str]:
        """A reason for each run; those after the first that fails are left out where they change
        nothing, and after one that took too long in any case."""
        reasons: list[str] = []
        for run in task.tests.runs:
            reasons.append(_run(worker, task, run))
            if reasons[-1] == "timeout" or (reasons[-1] != PASSED and not self._fraction):
                break
        return reasons


class PassesTestsUnsafely(PassesTests):
    """The same with limits and no sandbox: a program can do whatever the user can."""

    SANDBOX: Kind = "none"

    def __init__(self, fraction: bool = False) -> None:
        """As PassesTests. Raises RewardError where the operator of a worker does not allow it."""
        reason = refusal(WITHOUT_SANDBOX)
        if reason:
            raise RewardError(f"reward {WITHOUT_SANDBOX}: {reason}; or name code_tests")
        super().__init__(fraction)


def _tests(extra: Extra) -> CodeTests:
    try:
        return tests_of(extra)
    except ProblemError as error:
        raise RewardError(str(error)) from error


def _run(worker: Worker, task: Task, run: ProgramRun) -> str:
    limits = Limits(seconds=task.tests.seconds)
    ended = worker.script(task.program, run.given, limits)
    if ended.reason:
        return ended.reason
    printed = ended.output.decode("utf-8", "replace")
    return PASSED if same_output(printed, run.expected, task.tests.tolerance) else WRONG


def _asks(worker: Worker, task: Task) -> list[str]:
    """A reason for each call or assert, in one process of the program."""
    tests = task.tests
    asked = {
        "calls": [(call.function, call.arguments, call.expected) for call in tests.calls],
        "asserts": tests.asserts,
        "names": tests.names,
        "setup": tests.setup,
        "tolerance": tests.tolerance,
    }
    ended = worker.tests(task.program, asked, Limits(seconds=tests.seconds))
    verdicts = [json.loads(line) for line in ended.output.split(b"\n")[:-1]]
    reasons = [
        PASSED if passed else one_line(reason, REASON_CHARACTERS) for passed, reason in verdicts
    ]
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


def same_output(printed: str, expected: str, tolerance: float) -> bool:
    """Whether two texts have the same lines, white space at their ends aside, or lines with the
    same numbers, which may differ by `tolerance`, relative or absolute (as in LiveCodeBench)."""
    printed, expected = printed.strip(), expected.strip()
    # Counted first: millions of lines, each a text of its own, would fill the memory.
    return printed.count("\n") == expected.count("\n") and all(
        _same_line(line.strip(), other.strip(), tolerance)
        for line, other in zip(printed.split("\n"), expected.split("\n"), strict=True)
    )


def _same_line(line: str, expected: str, tolerance: float) -> bool:
    if line == expected:
        return True
    wanted = expected.split()
    words = line.split(maxsplit=len(wanted))
    if len(words) != len(wanted):
        return False
    try:
        return all(
            _same_number(word, other, tolerance) for word, other in zip(words, wanted, strict=True)
        )
    except (InvalidOperation, ValueError):
        return False


def _same_number(word: str, expected: str, tolerance: float) -> bool:
    if tolerance:
        return math.isclose(float(word), float(expected), rel_tol=tolerance, abs_tol=tolerance)
    return Decimal(word) == Decimal(expected)
