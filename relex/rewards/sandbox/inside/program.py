"""Runs the program of a completion: as a script with its inputs, or as a module whose functions its
tests call. Whatever stands in the memory of this process, the program can read; so nothing of a
test is there but inputs and arguments, and no expected value."""

import atexit
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from types import CodeType, ModuleType
from typing import Any, NoReturn

from .confine import make_repeatable
from .plain import Line, from_data, to_data

FILE = "program.py"
DESCRIBED_CHARACTERS = 200


def run_scripts(source: bytes, runs: Sequence[tuple[int, int]], good: int) -> NoReturn:
    """Run it as `python program.py` would be, with the input and the output of each of `runs`. Each
    good end is a byte in `good`; the first other end is that of the process.

    Runs of one program share a process because a new one costs more than most of them take. What a
    run leaves to the next (a file, a changed module) can gain it nothing: there is no expected
    output to hand on, and all of them have the time of one, so each would end in it alone, too. It
    can spoil the next; so outside only the first may fail.
    """
    status = 0
    for number, (given, printed) in enumerate(runs):
        for end, place in ((given, 0), (printed, 1)):
            os.dup2(end, place)
            os.close(end)
        sys.stdin = sys.__stdin__ = _text(0, "r")  # type: ignore[misc]
        sys.stdout = sys.__stdout__ = _text(1, "w")  # type: ignore[misc]
        if number:
            make_repeatable()
        status = _run(source)
        if status:
            break
        os.write(good, b"+")
    os._exit(status & 0xFF)


def _run(source: bytes) -> int:
    """One run, with what it prints, to the end of its threads; the status that it ends with."""
    status = 0
    try:
        execute(source, "__main__")
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status:
            _say(error)
    except BaseException as error:
        _say(error)
        status = 1
    _finish()
    return status


def _text(descriptor: int, mode: str) -> Any:
    """Standard input or output, as Python opens it."""
    return open(descriptor, mode, encoding="utf-8", errors="surrogateescape", closefd=False)


def run_calls(source: bytes, calls: Sequence[tuple[str, Sequence[Any]]], results: int) -> NoReturn:
    """Write a line of JSON to `results` for each call `(name, arguments)` of the program's
    functions: as `serve_calls` answers. They are compared outside."""
    functions, broken = _loaded(source)
    for name, arguments in calls:
        answer = broken or _answered([], _call, functions, name, arguments, {})
        os.write(results, answer + b"\n")
    os._exit(0)


def serve_calls(source: bytes, line: Line) -> NoReturn:
    """Answer calls of the program's functions until the tests end.

    A message is `{"call": name, "args": data, "kwargs": data}`, its answer `{"value": data}` or
    `{"raised": [type, text]}`. The name of a method is `Class.method`, of an instance made for it,
    or of a plain function where the program has no such class.
    """
    functions, broken = _loaded(source)
    kept: list[Any] = []

    def call(message: Any) -> Any:
        arguments, keywords = (from_data(message[name], kept) for name in ("args", "kwargs"))
        return _call(functions, message["call"], arguments, keywords)

    with suppress(EOFError):
        while True:
            message = line.receive()
            line.send(broken or _answered(kept, call, message))
    os._exit(0)


def read_sources(sources: Sequence[str], results: int) -> NoReturn:
    """Write a line of JSON to `results` for each of several programs, none of which is run: why it
    is no Python, or an empty text."""
    for source in sources:
        why = ""
        try:
            _compiled(source.encode("utf-8", "surrogatepass"))
        except SyntaxError as error:
            why = str(error)[:DESCRIBED_CHARACTERS]
        except Exception:  # a program has its own process to fail in
            pass
        os.write(results, json.dumps(why).encode() + b"\n")
    os._exit(0)


def execute(source: bytes, name: str) -> dict[str, Any]:
    """Run the source as the module `name`; its globals."""
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = FILE
    sys.argv = [FILE]
    exec(_compiled(source), module.__dict__)
    return module.__dict__


def _finish() -> None:
    """What an interpreter does at its end: what is left open is written then."""
    namespace = sys.modules["__main__"].__dict__
    for step in (_join_threads, atexit._run_exitfuncs, _flush, namespace.clear, _flush):
        with suppress(BaseException):
            step()


def _join_threads() -> None:
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _flush() -> None:
    """Also the output that the program put another one before."""
    streams: tuple[Any, ...] = (sys.stdout, sys.__stdout__)
    for stream in streams:
        with suppress(BaseException):
            stream.flush()


@cache
def _compiled(source: bytes) -> CodeType:
    return compile(source, FILE, "exec", dont_inherit=True)


def _loaded(source: bytes) -> tuple[dict[str, Any], bytes]:
    """The globals of the program, and the answer to every call where it cannot be run."""
    functions: dict[str, Any] = {}
    try:
        functions = execute(source, "program")
    except BaseException as error:
        return functions, _raised(error)
    return functions, b""


def _call(functions: Mapping[str, Any], name: str, arguments: Any, keywords: Any) -> Any:
    owner, _, method = name.rpartition(".")
    if owner in functions:
        function = getattr(functions[owner](), method)
    elif method in functions:
        function = functions[method]
    else:
        raise NameError(f"the program has no function {method}")
    return function(*arguments, **keywords)


def _answered(kept: list[Any], call: Callable[..., Any], *arguments: Any) -> bytes:
    try:
        return json.dumps({"value": to_data(call(*arguments), kept)}).encode()
    except BaseException as error:
        return _raised(error)


def _raised(error: BaseException) -> bytes:
    return json.dumps({"raised": _described(error)}).encode()


def _described(error: BaseException) -> list[str]:
    """The type and the text of an exception, which may itself raise when it is written."""
    try:
        return [type(error).__name__, str(error)[:DESCRIBED_CHARACTERS]]
    except BaseException:
        return [type(error).__name__, ""]


def _say(error: BaseException) -> None:
    with suppress(BaseException):
        os.write(2, ": ".join(_described(error)).encode("utf-8", "replace"))
