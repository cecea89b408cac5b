"""Names that Prefect makes up for a flow run, told from those that a user typed."""

import re

from coolname.data import config

WORDS = {word for entry in config.values() if entry["type"] == "words" for word in entry["words"]}
"""Of names made by servers and programs, such as `smart-penguin`."""

GREEK = re.compile(
    r"(alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|omicron|pi|rho|sigma"
    r"|tau|upsilon|phi|chi|psi|omega)\d*"
)
"""First words of those made by the form, such as `omega6-satake-void`."""


def is_made_up(name: str) -> bool:
    first, *others = name.split("-")
    return bool(others) and bool(GREEK.fullmatch(first) or {first, *others} <= WORDS)
