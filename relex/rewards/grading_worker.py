"""One grading process of `math_equality`: pairs of expressions, 1 for those that are equal.

Run as a file, `python grading_worker.py SECONDS`: see `relex.grading_side`.
"""

import sys
from functools import lru_cache
from typing import Any

from math_verify import parse, verify

from relex.child_side import child_main
from relex.grading_side import serve

NUM_CACHED_EXPRESSIONS = 1024
TRUE_PAIR = {"gold": r"$\frac{1}{2}$", "answer": "$0.5$"}


@lru_cache(maxsize=NUM_CACHED_EXPRESSIONS)
def parsed(text: str) -> Any:
    # The same gold answer comes once for every completion of its group.
    return parse(text, parsing_timeout=None)


def equal(pair: dict[str, str]) -> float:
    """Whether math-verify takes the answer for the gold one; whatever it raises means no."""
    try:
        # The order matters: verify is not symmetric.
        gold, answer = parsed(pair["gold"]), parsed(pair["answer"])
        return float(verify(gold, answer, timeout_seconds=None))
    except Exception:
        return 0.0


if __name__ == "__main__":
    child_main(lambda: serve(equal, TRUE_PAIR, float(sys.argv[1])), "grading")
