"""Which code a score or a trial depends on."""

import inspect
import sys
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

from relex.digests import sha256_file
from relex.errors import RewardError
from relex.rewards.registry import BUILT_INS, DIGEST_CHARACTERS, split_reference

# Raised whenever a rule of ours changes, so that scores by other rules are not compared.
RULES = {"exact_match": 1, "math_equality": 2, "format": 1}


def grader_version(name: str) -> str:
    """What belongs to every score: the grader, and what decides its verdicts.

    For a built-in that is the version of its rules, and of math-verify where it judges; for a
    function of the user's the digest of its source file. Raises RewardError when it does not
    exist.
    """
    if name in BUILT_INS:
        judge = f"+math-verify-{version('math-verify')}" if name == "math_equality" else ""
        return f"{name}/{RULES[name]}{judge}"
    return f"{name}/{sha256_file(source_file(name))[:DIGEST_CHARACTERS]}"


def source_file(name: str) -> Path:
    """Where a reward is written. Nothing of the user's is run to find it.

    Raises RewardError when there is no such module, or it has no source file.
    """
    if name in BUILT_INS:
        return Path(inspect.getfile(BUILT_INS[name]))
    module_name, _ = split_reference(name)
    folders = spec = None
    for module in accumulate(module_name.split("."), "{}.{}".format):
        specs = (finder.find_spec(module, folders) for finder in sys.meta_path)
        spec = next(filter(None, specs), None)
        if spec is None:
            raise RewardError(
                f"reward {name}: there is no module {module!r}; put its folder on PYTHONPATH"
            )
        folders = spec.submodule_search_locations
    if spec is None or spec.origin is None or not spec.has_location:
        raise RewardError(f"reward {name}: has no source file, so its version cannot be told")
    return Path(spec.origin)
