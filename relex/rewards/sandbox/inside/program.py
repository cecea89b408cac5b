"""Runs the program of a completion: as a script with its input, or as a module whose functions its
tests call. Whatever stands in the memory of this process, the program can read; so nothing of a
test is there but the arguments of the call that is being answered."""

import atexit
import os
import sys
import threading
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

from .plain import Line, from_data, to_data

FILE = "program.py"
DESCRIBED_CHARACTERS = 200


def run_script(source: bytes) -> NoReturn:
    """Run it as `python program.py` would be, with what it prints, to the end of its threads."""
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
    os._exit(status & 0xFF)


def serve_calls(source: bytes, line: Line) -> NoReturn:
    """Answer calls of the program's functions until the tests end.

    A message is `{"call": name, "args": data, "kwargs": data}`, its answer `{"value": data}` or
    `{"raised": [type, text]}`. The name of a method is `Class.method`, of an instance made for it.
    """
    functions, broken, kept = {}, None, []  # type: ignore[var-annotated]
    try:
        functions = execute(source, "program")
    except BaseException as error:
        broken = _described(error)
    with suppress(EOFError):
        while True:
            message = line.receive()
            try:
                line.send({"raised": broken} if broken else _answer(functions, message, kept))
            except EOFError:
                break
            except BaseException as error:
                line.send({"raised": _described(error)})
    os._exit(0)


def execute(source: bytes, name: str) -> dict[str, Any]:
    """Run the source as the module `name`; its globals."""
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = FILE
    sys.argv = [FILE]
    exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
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
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(BaseException):
            stream.flush()


def _answer(functions: dict[str, Any], message: Any, kept: list[Any]) -> dict[str, Any]:
    owner, _, method = message["call"].rpartition(".")
    if owner:
        function = getattr(functions[owner](), method)
    elif method in functions:
        function = functions[method]
    else:
        raise NameError(f"the program has no function {method}")
    arguments = from_data(message["args"], kept)
    keywords = from_data(message["kwargs"], kept)
    return {"value": to_data(function(*arguments, **keywords), kept)}


def _described(error: BaseException) -> list[str]:
    """The type and the text of an exception, which may itself raise when it is written."""
    try:
        return [type(error).__name__, str(error)[:DESCRIBED_CHARACTERS]]
    except BaseException:
        return [type(error).__name__, ""]


def _say(error: BaseException) -> None:
    with suppress(BaseException):
        os.write(2, ": ".join(_described(error)).encode("utf-8", "replace"))
