"""The tests of a programming problem, as its `extra` carries them to `code_tests`."""

from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from relex.errors import ProblemError
from relex.problems.problem import Extra
from relex.strict import Strict

KEY = "tests"


class ProgramRun(Strict):
    """A program is started, reads a text, and prints one."""

    given: str
    """Its standard input."""

    expected: str
    """What it must print: `same_output`."""


class FunctionCall(Strict):
    """A function of the program is called."""

    function: str
    """Its name, or `Class.method`, of an instance made without arguments; `method` where the
    program has no such class."""

    arguments: tuple[Any, ...]
    """JSON values."""

    expected: Any
    """What it must return, as JSON: a tuple is a list there."""


class CodeTests(Strict):
    """What makes a program right: `runs`, `calls` or `asserts`, of one kind only."""

    runs: tuple[ProgramRun, ...] = ()
    """Each as a program of its own; what passes in one process is not run in another."""

    calls: tuple[FunctionCall, ...] = ()
    """One after the other, in one process while its time lasts."""

    asserts: tuple[str, ...] = ()
    """Python that raises where the program is wrong, one after the other. The program is in another
    process: its functions take and return plain data, and see nothing of the tests."""

    names: tuple[str, ...] = ()
    """Functions and classes of the program that `setup` and `asserts` use."""

    setup: str = ""
    """Python that is run before the first of `asserts`."""

    prefix: str = ""
    """What is put before the answer, as it is: the beginning of a function, or imports."""

    tolerance: float = Field(default=0, ge=0, lt=1)
    """By how much numbers may differ in `runs` and `calls`, relative or absolute."""

    seconds: int = Field(default=2, ge=1, le=60)
    """Of the processor that each run or call may use, or all asserts together."""

    is_solved: bool = True
    """Whether the gold answer is a program that passes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = [kind for kind in (self.runs, self.calls, self.asserts) if kind]
        if len(kinds) != 1:
            raise ValueError(f"give one of runs, calls and asserts, found {len(kinds)}")
        return self

    @property
    def num_tests(self) -> int:
        return len(self.runs) + len(self.calls) + len(self.asserts)


def tests_of(extra: Extra) -> CodeTests:
    """The tests of a problem, which may be text that holds them as JSON.

    Raises ProblemError where it has none, or they are malformed.
    """
    if KEY not in extra:
        raise ProblemError(
            f"code_tests: a problem has no {KEY}; take a benchmark of code, or name a column of "
            f"your own with extra_columns: [{KEY}] (docs/code.md)"
        )
    given = extra[KEY]
    try:
        if isinstance(given, str):
            return CodeTests.model_validate_json(given)
        return CodeTests.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (KEY, *first["loc"])))
        raise ProblemError(f"code_tests: {place}: {first['msg']} (docs/code.md)") from error
