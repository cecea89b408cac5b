"""Which code a score or a trial depends on."""

import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

from relex.digests import sha256_file
from relex.doors import REWARD
from relex.errors import RewardError
from relex.rewards.registry import DIGEST_CHARACTERS


def grader_version(name: str) -> str:
    """What belongs to every score: the grader, and what decides its verdicts.

    For a built-in that is its `RULES`; for a function of the user's the digest of its source file.
    Raises RewardError when it does not exist.
    """
    if name in REWARD.built_in:
        made: Any = REWARD.load(name)
        return f"{name}/{made.RULES}"
    return f"{name}/{sha256_file(source_file(name))[:DIGEST_CHARACTERS]}"


def source_file(name: str) -> Path:
    """Where a reward is written. Nothing of the user's is run to find it.

    Raises RewardError when there is no such module, or it has no source file.
    """
    module_name, _ = REWARD.place(name)
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
