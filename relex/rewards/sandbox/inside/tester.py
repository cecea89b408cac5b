"""Runs tests against a program that is in another process, in which they cannot be seen.

The functions of the program stand for themselves here: each call goes to the program's process and
its result comes back as plain data. So nothing that a program defines, patches or raises is in the
process that decides.
"""

import builtins
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from .plain import Line, from_data, to_data

REASON_CHARACTERS = 200
PASSED = (True, "passed")
SWALLOWED = (StopIteration, StopAsyncIteration)
"""Exceptions that end a loop as if nothing were wrong."""


class ProgramEnded(BaseException):
    """No `except Exception` of a test takes this for an error that it expects."""


class ProgramError(Exception):
    """Something that the program raised, of a type that is not Python's own."""


class Caller:
    """Calls functions of the program; they get copies of their arguments."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.has_ended = False

    def call(self, name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
        unknown: list[Any] = []
        message = {
            "call": name,
            "args": to_data(list(args), unknown),
            "kwargs": to_data(dict(kwargs), unknown),
        }
        if unknown:
            raise TypeError(f"a test gives {type(unknown[0]).__name__}, which is no plain data")
        try:
            self._line.send(json.dumps(message).encode())
            answer = self._line.receive()
        except EOFError:
            self.has_ended = True
            raise ProgramEnded from None
        if "raised" in answer:
            raise _raised(*answer["raised"])
        return from_data(answer["value"])

    def function(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.call(name, args, kwargs)


def run_tests(tests: Mapping[str, Any], line: Line, verdicts: int) -> None:
    """Write one line of JSON for each test, `[passed, reason]`, to the descriptor `verdicts`.

    `tests` has `asserts`, pieces of code that are run in their order with the program's functions
    `names`, after `setup`. Nothing is written for a test in which the program ended, nor for those
    after it.
    """
    caller = Caller(line)
    scope: dict[str, Any] = {"__name__": "tests"}
    scope.update({name: caller.function(name) for name in tests["names"]})

    def verdict(code: str) -> tuple[bool, str] | None:
        try:
            exec(compile(code, "tests.py", "exec", dont_inherit=True), scope)
        except AssertionError:
            return False, "wrong"
        except MemoryError:
            return False, "memory"
        except (ProgramEnded, SystemExit, KeyboardInterrupt):
            return None
        except Exception as error:
            return False, f"exception: {type(error).__name__}: {error}"[:REASON_CHARACTERS]
        return PASSED

    prepared = verdict(tests["setup"])
    for code in tests["asserts"]:
        found = verdict(code) if prepared == PASSED else prepared
        if caller.has_ended or found is None:
            return
        os.write(verdicts, json.dumps(found).encode() + b"\n")


def _raised(name: str, text: str) -> Exception:
    """The program's exception, so that a test can expect it."""
    kind = getattr(builtins, str(name), None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, SWALLOWED):
        try:
            return kind(text)
        except TypeError:
            pass  # UnicodeError and its like want more than a text
    return ProgramError(f"{name}: {text}")
