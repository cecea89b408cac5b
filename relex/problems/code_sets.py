"""Published sets of programming problems, from their own rows to questions with tests.

Each is a question source by its name. Its `path` is a dataset of the Hub, or a JSONL or Parquet
file with rows of the same form.
"""

import ast
import base64
import io
import json
import pickle
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems.code_tests import KEY
from relex.problems.columns import Row
from relex.problems.sources import hub_rows, jsonl_rows, not_loaded, parquet_rows

Columns = Mapping[str, Any]
Converted = tuple[str, str, dict[str, Any]]
"""Question, gold answer, and the tests as `CodeTests` has them."""

FUNCTION_SECONDS, LIVE_SECONDS, APPS_SECONDS = 4, 6, 4
MOST_APPS_TESTS = 20
APPS_TOLERANCE = 1e-5
LIVE_MODULES = """
    string re datetime collections heapq bisect copy math random statistics itertools functools
    operator io sys json
"""
# As LiveCodeBench does, which comes to the builtins last: `pow` of math takes two arguments.
LIVE_IMPORTS = "\n".join(
    [
        *(f"from {module} import *" for module in [*LIVE_MODULES.split(), "builtins", "typing"]),
        f"import {', '.join(LIVE_MODULES.split())}",
        "sys.setrecursionlimit(50000)",
        "",
    ]
)
# numpy compares nothing, and so finds no difference, between a number and an empty list.
SAME_SHAPES = """
import numpy
from numpy.testing import assert_allclose

def same_shapes_first(found, expected, **options):
    assert numpy.shape(found) == numpy.shape(expected)
    assert_allclose(found, expected, **options)

numpy.testing.assert_allclose = same_shapes_first
"""
FROM_INPUT = "Read from standard input and write to standard output."
DATES, DATE_CHARACTERS = "..", 10


def human_eval_rows(source: ProblemSource) -> Iterator[Row]:
    """HumanEval and HumanEval+: the beginning of a function, and a function that checks it."""
    return _converted(source, _human_eval)


def mbpp_rows(source: ProblemSource) -> Iterator[Row]:
    """MBPP, whose tests stand in the question, and MBPP+, which has hidden ones beside them."""
    return _converted(source, _mbpp)


def live_code_bench_rows(source: ProblemSource) -> Iterator[Row]:
    """LiveCodeBench; `split` may be two dates, `2025-01-01..2025-03-31`, the first and the last of
    the contests. It has no solutions, so the gold answer is the problem's name."""
    first, dots, last = source.split.partition(DATES)
    whole = source.model_copy(update={"split": "test"}) if dots else source

    def converted(columns: Columns) -> Converted | None:
        date = str(columns["contest_date"])[:DATE_CHARACTERS]
        return None if dots and not first <= date <= last else _live_code_bench(columns)

    return _converted(whole, converted)


def apps_rows(source: ProblemSource) -> Iterator[Row]:
    """APPS, those with a solution, with their first 20 tests; and files with rows of TACO, which
    have the same form."""
    if not Path(source.path).exists():
        source = source.model_copy(update={"path": _apps_file(source)})
    return _converted(source, _apps)


def _converted(
    source: ProblemSource, convert: Callable[[Columns], Converted | None]
) -> Iterator[Row]:
    for row in _raw_rows(source):
        try:
            problem = convert(row.columns)
        except (KeyError, IndexError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise ProblemError(
                f"{row.where}: is no row of {source.kind} ({type(error).__name__}: {error}); check "
                "path, config, split and revision"
            ) from error
        if problem is not None:
            question, answer, tests = problem
            own = {source.question_column: question, source.answer_column: answer}
            yield replace(row, columns={**row.columns, **own}, extra={KEY: tests})


def _raw_rows(source: ProblemSource) -> Iterator[Row]:
    path = Path(source.path)
    if not path.exists():
        return hub_rows(source, all_columns=True)
    if path.suffix == ".parquet":
        return parquet_rows(source, all_columns=True)
    return jsonl_rows(source)


def _human_eval(columns: Columns) -> Converted:
    prompt, solution = columns["prompt"], columns["canonical_solution"]
    test, name = columns["test"], columns["entry_point"]
    # What a question defines beside its function, an answer may define anew; checks take this.
    whole = ast.parse(prompt + solution)
    whole.body = [node for node in whole.body if getattr(node, "name", "") != name]
    tests = {
        "prefix": prompt,
        "setup": "\n".join([ast.unparse(whole), _shapes_first(test), test]),
        "asserts": [f"check({name})"],
        "names": [name],
        "seconds": FUNCTION_SECONDS,
    }
    return prompt, solution, tests


def _mbpp(columns: Columns) -> Converted:
    code, shown = columns["code"], list(columns["test_list"])
    asked = columns["prompt"] if "prompt" in columns else columns["text"]
    asserts = [columns["test"]] if "test" in columns else shown
    imports = list(columns.get("test_imports") or [])
    setup = "\n".join(
        [*imports, columns.get("test_setup_code") or "", *map(_shapes_first, asserts)]
    )
    tests = {
        "setup": setup,
        "asserts": asserts,
        "names": _used(code, "\n".join([setup, *asserts])),
        "seconds": FUNCTION_SECONDS,
    }
    return "\n".join([asked, "It must pass these tests:", *shown]), code, tests


def _live_code_bench(columns: Columns) -> Converted:
    cases = json.loads(columns["public_test_cases"]) + _private(columns["private_test_cases"])
    tests: dict[str, Any] = {"is_solved": False, "seconds": LIVE_SECONDS, "prefix": LIVE_IMPORTS}
    starter = columns["starter_code"]
    if cases[0]["testtype"] == "functional":
        method = json.loads(columns["metadata"])["func_name"]
        tests["calls"] = [
            {
                "function": f"Solution.{method}",
                "arguments": [json.loads(line) for line in case["input"].split("\n")],
                "expected": json.loads(case["output"]),
            }
            for case in cases
        ]
    else:
        tests["runs"] = [{"given": it["input"], "expected": it["output"]} for it in cases]
    question = f"{columns['question_content']}\n\n{_how(starter)}"
    return question, columns["question_id"], tests


def _apps(columns: Columns) -> Converted | None:
    solutions = json.loads(columns["solutions"] or "[]")
    try:
        cases = json.loads(columns["input_output"] or "{}")
    except json.JSONDecodeError:
        raise
    except ValueError:  # some hold integers of more digits than Python reads
        return None
    given, expected = cases.get("inputs", []), cases.get("outputs", [])
    pairs = list(zip(given, expected, strict=True))[:MOST_APPS_TESTS]
    if not solutions or not pairs:
        return None
    starter = columns["starter_code"] or ""
    tests: dict[str, Any] = {"seconds": APPS_SECONDS, "tolerance": APPS_TOLERANCE}
    if cases.get("fn_name"):
        owner = "Solution." if "class Solution" in starter else ""
        # Codewars wraps each result in a list.
        wraps = "codewars" in (columns["url"] or "")
        tests["calls"] = [
            {
                "function": owner + cases["fn_name"],
                "arguments": arguments,
                "expected": result[0] if wraps and isinstance(result, list) else result,
            }
            for arguments, result in pairs
        ]
    else:
        tests["runs"] = [{"given": _text(it), "expected": _text(out)} for it, out in pairs]
    return f"{columns['question']}\n\n{_how(starter)}", solutions[0], tests


def _how(starter: str) -> str:
    return f"Begin with this:\n```python\n{starter}\n```" if starter else FROM_INPUT


def _text(lines: Any) -> str:
    """APPS has some inputs and outputs as lists of their lines."""
    return "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines)


def _shapes_first(test: str) -> str:
    return SAME_SHAPES if "assert_allclose" in test else ""


def _used(code: str, tests: str) -> list[str]:
    """The functions and classes of a solution that its tests name."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    defined = [node.name for node in ast.parse(code).body if isinstance(node, kinds)]
    named = {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}
    return [name for name in dict.fromkeys(defined) if name in named]


class _OnlyText(pickle.Unpickler):
    """Reads plain values and nothing else: a pickle that names a class or a function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"names {module}.{name}")


def _private(text: str) -> list[dict[str, str]]:
    """Tests as JSON, or as LiveCodeBench packs them: a pickle, compressed, as base64."""
    if text.lstrip().startswith("["):
        return list(json.loads(text))
    packed = zlib.decompress(base64.b64decode(text))
    return list(json.loads(_OnlyText(io.BytesIO(packed)).load()))


def _apps_file(source: ProblemSource) -> str:
    """The file of a split on the Hub: its repository has a loading script, which is not run."""
    # Imported here because it takes a second that no other source needs.
    import huggingface_hub

    try:
        return str(
            huggingface_hub.hf_hub_download(
                source.path,
                f"{source.split}.jsonl",
                repo_type="dataset",
                revision=source.revision,
            )
        )
    except Exception as error:
        raise not_loaded(source, error) from error
