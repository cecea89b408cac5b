"""A data set of the Hub, loaded by its own client from a server that speaks the Hub's endpoints."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from relex.config import ProblemSource
from tests.hub import hub_of

LOAD = """
import json, sys
from relex.config import ProblemSource
from relex.errors import ProblemError
from relex.problems import load_problems

for source in json.load(sys.stdin):
    try:
        problems = load_problems(ProblemSource(**source), lambda text: print(json.dumps(text)))
        print(json.dumps(sorted([problem.question, problem.answer] for problem in problems)))
    except ProblemError as error:
        print(json.dumps(str(error)))
"""


def verl_rows(texts: list[str]) -> pyarrow.Table:
    return pyarrow.Table.from_pylist(
        [
            {
                "prompt": [{"role": "user", "content": f"{text}?"}],
                "reward_model": {"ground_truth": text, "style": "rule"},
                "image": {"bytes": b"no picture", "path": None},
            }
            for text in texts
        ]
    )


def test_branches_splits_and_configurations_of_a_repository_are_loaded(tmp_path: Path) -> None:
    repository = tmp_path / "hub/datasets/them/dapo"
    for branch, texts in {"main": ["1", "2"] * 50, "v2": ["3"]}.items():
        (repository / branch / "data").mkdir(parents=True)
        file = repository / branch / "data/train-00000-of-00001.parquet"
        parquet.write_table(verl_rows(texts), file)
    few = {"data_files": [{"split": "held_out", "path": "few.parquet"}], "config_name": "few"}
    all_rows = {"data_files": "data/*.parquet", "config_name": "all", "default": True}
    card = f"---\nconfigs: {json.dumps([all_rows, few])}\n---\n"
    (repository / "main/README.md").write_text(card)
    few_table = pyarrow.table({"question": ["4?"], "answer": [4]})
    parquet.write_table(few_table, repository / "main/few.parquet")
    columns = {"question_column": "prompt", "answer_column": "reward_model.ground_truth"}
    sources: list[dict[str, Any]] = [
        columns,
        {**columns, "revision": "v2"},
        {"config": "few", "split": "held_out"},
        {"split": "nothing"},
    ]
    stated = [
        ProblemSource(kind="hub", path="them/dapo", **source).model_dump() for source in sources
    ]
    with hub_of(tmp_path / "hub") as server:
        loaded = subprocess.run(
            [sys.executable, "-c", LOAD],
            env=server.variables(tmp_path / "home"),
            input=json.dumps(stated),
            capture_output=True,
            text=True,
        )
    said, every, second, few_rows, refusal = map(json.loads, loaded.stdout.splitlines())
    assert said == "them/dapo: 2 questions in 100 rows; the others repeat one"
    assert every == [["1?", "1"], ["2?", "2"]]
    assert second == [["3?", "3"]]
    assert few_rows == [["4?", "4"]]
    assert refusal.startswith("them/dapo (split nothing): cannot be loaded (ValueError: Unknown")
    assert "\n" not in refusal
