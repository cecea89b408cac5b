"""Which code the text of a recipe may run: the one place that decides it.

A recipe names code: what comes in by a door (`relex/doors`), and a base that brings its own. In
a user's own terminal that is the user's affair, and all of it is allowed. A recipe that comes to a
worker from elsewhere, by a form or a program, may name only what `RELEX_PLUGINS` lists, separated
by commas:

| entry | allows |
|---|---|
| `my_rewards`, `team.graders` | that module or package, wherever it is on the Python path |
| `.` | modules below the folder in which the run works, but nothing that is installed there |
| `trust_remote_code` | bases with code of their own |
| `*` | everything |

What relex brings under a name of its own is always allowed, and so are its examples,
`relex.toy.rewards`. Flows that a worker runs set `.` where nothing is set.
"""

import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

VARIABLE = "RELEX_PLUGINS"
EVERYTHING, WORKING_FOLDER, REMOTE_CODE = "*", ".", "trust_remote_code"
OURS = "relex.toy.rewards"
INSTALLED = {"site-packages", "dist-packages"}


def restrict_plugins() -> None:
    """From now on, here and in processes started from here, only what the operator allows."""
    os.environ.setdefault(VARIABLE, WORKING_FOLDER)


def remote_code_is_allowed() -> bool:
    return bool({EVERYTHING, REMOTE_CODE} & _allowed())


def refusal(module: str) -> str:
    """Why code of `module` may not be run here, or nothing where it may.

    Nothing is imported to find out, no package above the module either.
    """
    if _is_allowed(module, _allowed()):
        return ""
    return (
        f"{module or 'where it is defined'} is not among what a recipe may "
        f"run here, which is relex's own and {VARIABLE}={','.join(sorted(_allowed()))} "
        f"({WORKING_FOLDER} is {Path.cwd()}); whoever runs the worker can add it there"
    )


def module_of(function: Callable[..., Any]) -> str:
    """The module that defines a function, whichever have imported it."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__module__", None) or ""


def _allowed() -> set[str]:
    return {entry.strip() for entry in os.environ.get(VARIABLE, EVERYTHING).split(",")}


def _is_allowed(module: str, allowed: set[str]) -> bool:
    if EVERYTHING in allowed:
        return True
    named = {OURS, *allowed} - {WORKING_FOLDER, REMOTE_CODE, ""}
    if any(module == name or module.startswith(f"{name}.") for name in named):
        return True
    return WORKING_FOLDER in allowed and _is_in_working_folder(module)


def _is_in_working_folder(module: str) -> bool:
    """Whether importing the module would run files below the working folder and no others."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return False
    specs = _specs(module)
    if not specs or specs[-1].origin is None:
        return False
    folder = Path.cwd().resolve()
    return all(_is_below(place, folder) for spec in specs for place in _places(spec))


def _specs(module: str) -> list[ModuleSpec]:
    """Where an import would find the module and every package above it; empty without it."""
    specs: list[ModuleSpec] = []
    path: Sequence[str] | None = None
    for part in module.split("."):
        # By its last name alone, because the packages above it are not imported.
        spec = PathFinder.find_spec(part, path) if part else None
        if spec is None:
            return []
        specs.append(spec)
        path = list(spec.submodule_search_locations or ())
    return specs


def _places(spec: ModuleSpec) -> list[Path]:
    """The file that is run; the folders of a package without one."""
    places = [spec.origin] if spec.origin else spec.submodule_search_locations or []
    return [Path(place).resolve() for place in places]


def _is_below(place: Path, folder: Path) -> bool:
    """Below the folder, and neither installed nor written by a run."""
    return (
        place.is_relative_to(folder)
        and INSTALLED.isdisjoint(place.parts)
        and not place.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())
        and not place.is_relative_to(_home())
    )


def _home() -> Path:
    """Where runs write, as `relex.home` says, which stands above this room."""
    return Path(os.environ.get("RELEX_HOME", "").strip() or ".relex").resolve()
