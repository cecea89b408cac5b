"""One kind of code that a recipe names: from its name to the code."""

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from relex.digests import sha256_file
from relex.doors.plugins import module_of, refusal
from relex.errors import InputError
from relex.visible import one_line

OWN = re.compile(r"[\w.]+:\w+")
MESSAGE_CHARACTERS = 200
DIGEST_CHARACTERS = 6


@dataclass(frozen=True)
class Door:
    """One kind of code that a recipe names."""

    kind: str
    """What it is called in messages."""

    built_in: Mapping[str, str]
    """Where each of ours is, as `module:name`."""

    error: type[InputError] = InputError
    """What is raised for a name that cannot be used."""

    def knows(self, name: str) -> bool:
        """Whether `name` is one of ours, or written as one of a user's own."""
        return name in self.built_in or OWN.fullmatch(name) is not None

    def place(self, name: str) -> tuple[str, str]:
        """Module and attribute that `name` stands for. Nothing is imported to find out.

        Raises `error` when it is neither built in nor a dotted path, or may not be run here.
        """
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return module, attribute
        module, colon, attribute = name.partition(":")
        if not colon:
            raise self.refused(
                name,
                f"is not built in ({', '.join(self.built_in)}); name your own as module:function",
            )
        self._check_allowed(name, module)
        return module, attribute

    def load(self, name: str) -> Callable[..., Any]:
        """What `name` stands for. Raises `error` as `place`, and when it does not import, is not
        there, or cannot be called."""
        module_name, attribute = self.place(name)
        try:
            module = importlib.import_module(module_name)
        except (Exception, SystemExit) as error:
            what = f"{type(error).__name__}: {one_line(str(error), MESSAGE_CHARACTERS)}"
            mend = "install relex anew" if name in self.built_in else "put its folder on PYTHONPATH"
            raise self.refused(
                name, f"module {module_name!r} does not import ({what}); {mend}"
            ) from error
        found: Callable[..., Any] | None = getattr(module, attribute, None)
        if not callable(found):
            raise self.refused(
                name, f"module {module_name!r} has no function {attribute!r}; define it there"
            )
        if name not in self.built_in:
            # What a module has only imported is not its own.
            self._check_allowed(name, module_of(found))
        return found

    def source_file(self, name: str) -> Path:
        """Where the code is written. Nothing of the user's is run to find it.

        Raises `error` as `place`, and when there is no such module, or it has no source file.
        """
        module_name, _ = self.place(name)
        folders = spec = None
        for module in accumulate(module_name.split("."), "{}.{}".format):
            specs = (finder.find_spec(module, folders) for finder in sys.meta_path)
            spec = next(filter(None, specs), None)
            if spec is None:
                raise self.refused(
                    name, f"there is no module {module!r}; put its folder on PYTHONPATH"
                )
            folders = spec.submodule_search_locations
        if spec is None or spec.origin is None or not spec.has_location:
            raise self.refused(name, "has no source file, so its version cannot be told")
        return Path(spec.origin)

    def own_version(self, name: str) -> str:
        """A user's code as results name it: with a digest of its file, which may change between two
        runs; ours changes with relex itself, and has only its name."""
        if name in self.built_in:
            return name
        return f"{name}/{sha256_file(self.source_file(name))[:DIGEST_CHARACTERS]}"

    def _check_allowed(self, name: str, module: str) -> None:
        reason = refusal(module)
        if reason:
            raise self.refused(name, reason)

    def refused(self, name: str, reason: str) -> InputError:
        """The error that says what is wrong with `name`, in one line."""
        return self.error(f"{self.kind} {name}: {reason}")
