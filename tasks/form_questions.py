"""Questions of a user's own in a form: a line of text each, and the source in the recipe that it
stands for."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from relex.config import BENCHMARKS
from relex.doors import SOURCE
from relex.errors import RecipeError

USES = {
    "train_questions": "Questions that the policy is trained on.",
    "validation_questions": "Questions on which candidates are compared and the choice is made.",
    "test_questions": "Questions on which the chosen candidate is measured once; the numbers to "
    "quote.",
}
KINDS = (
    "A file that the worker has (`/data/test.jsonl`, `.parquet`) or a dataset on the Hub with its "
    "split (`openai/gsm8k:train`), with the columns `question` and `answer`; a benchmark by name "
    "(`math_500`); or a function of yours (`my_questions:sums`). What else a source can say, such "
    "as `question_column`, goes into overrides."
)
HUB = re.compile(r"([\w.-]+/[\w.-]+)(?::(\w+))?")
NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def lay_questions(recipe: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with the sources that `answers` name in place of its own, whole.

    Raises RecipeError for a text that stands for none.
    """
    stated = {name: source_of(name, answers[name]) for name in USES if answers.get(name)}
    problems = dict(recipe["problems"])
    if "train_questions" in stated:
        problems["train"] = stated["train_questions"]
    if "validation_questions" in stated:
        problems["validation"] = stated["validation_questions"]
    laid = {**recipe, "problems": problems}
    if "test_questions" in stated:
        problems["test"] = [_benchmark(answers["test_questions"], stated["test_questions"])]
        # A champion on other questions is that of another model.
        laid["tracking"] = {**recipe.get("tracking", {}), "registered_model": ""}
    return laid


def source_of(field: str, text: str) -> dict[str, Any]:
    """The source that a text stands for."""
    if text in {row.name for row in BENCHMARKS}:
        return {"kind": "benchmark", "name": text}
    suffix = PurePosixPath(text).suffix.removeprefix(".")
    if suffix in ("jsonl", "parquet"):
        return {"kind": suffix, "path": text}
    if found := HUB.fullmatch(text):
        return {"kind": "hub", "path": found[1], "split": found[2] or "train"}
    if SOURCE.knows(text) and text not in SOURCE.built_in:
        return {"kind": text}
    raise RecipeError(
        f"form: {field}: {text!r} is no file (.jsonl, .parquet), no dataset on the Hub "
        "(owner/name:split), no benchmark (`relex benchmarks` lists them) and no module:function"
    )


def _benchmark(text: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `problems.test`; one of the table brings its name and its manner."""
    if source["kind"] == "benchmark":
        return {"source": source}
    stem = PurePosixPath(text.partition(":")[0]).stem
    return {"name": NOT_IN_NAMES.sub("_", stem.lower()).strip("_") or "own", "source": source}
