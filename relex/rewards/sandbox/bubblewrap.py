"""How a worker is started: in bubblewrap's sandbox, from which it can do nothing to the machine.

It has user, process, mount, network, IPC, UTS and cgroup namespaces of its own; a root that cannot
be written, with the system's shared libraries, the Python that runs relex without its packages, and
numpy, which tests need; four harmless devices; no network device that is up, and no environment.
It keeps CAP_SYS_ADMIN over these namespaces, and over nothing else, to give each program namespaces
of its own; programs lose it (`inside/confine.py`).
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from relex.errors import RewardError

INSIDE = Path(__file__).parent / "inside"
WORKER = ["-s", "-S", "-B", "-m", "inside.worker"]
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "LC_ALL": "C.UTF-8",
    # Each of more would map 64 MB for a thread, of what a program may have.
    "MALLOC_ARENA_MAX": "1",
}
LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
DEVICES = ("null", "zero", "random", "urandom")
PACKAGES = "/packages"
INSTALL = "install it (apt-get install bubblewrap libseccomp2)"


def in_sandbox() -> list[str]:
    """The command of a worker in the sandbox. Raises RewardError where bubblewrap is missing."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise RewardError(
            f"reward code_tests: bubblewrap, in which programs run, is not there; {INSTALL}"
        )
    shown = [argument for place in _shown() for argument in place]
    return [
        *(bwrap, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"),
        *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", "--hostname", "sandbox"),
        *shown,
        # Without the system's cache of libraries, which says where that of Python is.
        *("--setenv", "LD_LIBRARY_PATH", str(Path(sys.base_prefix) / "lib")),
        *("--proc", "/proc", "--tmpfs", "/tmp", "--chdir", "/", "--remount-ro", "/", "--"),
        *(_python(), *WORKER, "alone", PACKAGES),
    ]


def without_sandbox() -> list[str]:
    """The command of a worker that limits what programs use, and hardly what they can do; to be
    started in the folder above `INSIDE`."""
    return [_python(), *WORKER, "bare", *(str(path.parent) for path in _packages()[:1])]


def _shown() -> Iterator[tuple[str, ...]]:
    """What the sandbox shows of the machine, all of it read-only."""
    for library in map(Path, LIBRARIES):
        if library.is_symlink():
            yield "--symlink", os.readlink(library), str(library)
        elif library.exists():
            yield "--ro-bind", str(library), str(library)
    prefix = Path(sys.base_prefix)
    own = [_python()] if prefix == Path("/usr") else [_python(), str(prefix / "lib")]
    for place in own:
        yield "--ro-bind", place, place
    for packages in _packages_shown(prefix):
        yield "--tmpfs", packages, "--remount-ro", packages
    for device in DEVICES:
        yield "--dev-bind", f"/dev/{device}", f"/dev/{device}"
    for package in _packages():
        yield "--ro-bind", str(package), f"{PACKAGES}/{package.name}"
    yield "--ro-bind", str(INSIDE), f"/{INSIDE.name}"


def _packages_shown(prefix: Path) -> set[str]:
    """Folders of packages among what is shown, where an empty one is put before each."""
    return {
        os.path.realpath(found)
        for place in (prefix, Path("/usr"))
        for found in place.glob("lib*/python*/*-packages")
    }


def _python() -> str:
    """The interpreter itself, where a virtual environment has only a link to it."""
    return os.path.realpath(sys.executable)


def _packages() -> list[Path]:
    """numpy, and the shared libraries that it brings, where it is installed."""
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    return [path for path in (package, package.with_name("numpy.libs")) if path.is_dir()]
