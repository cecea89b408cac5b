"""A run that is killed at any stage continues there."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml

from relex.evaluation import read_answers
from relex.report import RunSummary
from tests.flows.preloaded import Program
from tests.flows.small import small_recipe
from tests.waiting import wait_until, wait_until_gone

# What the run prints when it has just ended, or is in the middle of, a stage.
KILL_AT = (
    "window of 6 snapshots",
    "measured base on validation",
    "measured base on toy",
    "in MLflow",
)
KILL_AT_TOO = (
    "tracking ",
    "rank 1 explains",
    "measured line-9 on validation",
    "report in",
)
# In the middle of the first questions, and of those that only the better candidates answer.
SEARCH_KILL_AT = ("measured line-8 on questions 1 to 25", " on questions 26 to 50")
PARTS = "s3/relex/runs/*/scores/validation/*/questions-*"


Start = Callable[[Path, Path], AbstractContextManager[Program]]


@pytest.fixture
def start(starter, build_environment) -> Start:
    """Starts a recipe with its home in a folder."""
    return lambda recipe, home: starter.started(
        "flows.program", ["pipeline", str(recipe)], build_environment(home)
    )


def kill(program: Program) -> None:
    """SIGKILL to the flow alone; its children must follow by themselves."""
    children = program.tree.children(recursive=True)
    program.kill()
    wait_until_gone(children)


def run_to_end(program: Program) -> None:
    ended = program.wait()
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("moments", [KILL_AT, pytest.param(KILL_AT_TOO, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_every_stage_ends_as_if_it_never_was(
    moments, small_recipe_file, start, whole_run, tmp_path
):
    with start(small_recipe_file, tmp_path) as program:
        third = "s3/relex/runs/*/window/steps/step_000003.safetensors"
        wait_until(lambda: list(tmp_path.glob(third)))
        kill(program)
    for words in moments:
        with start(small_recipe_file, tmp_path) as program:
            program.wait_for_words(words)
            kill(program)
    with start(small_recipe_file, tmp_path) as program:
        run_to_end(program)
    assert summary_of(tmp_path).decision == summary_of(whole_run).decision
    assert summary_of(tmp_path).benchmarks == summary_of(whole_run).benchmarks
    assert summary_of(tmp_path).greedy == summary_of(whole_run).greedy != ()
    assert summary_of(tmp_path).shown == summary_of(whole_run).shown != ()
    assert model_of(tmp_path) == model_of(whole_run)
    assert list(tmp_path.glob("s3/relex/runs/*/window/*")) == []
    assert list(tmp_path.glob("s3/relex/runs/*/factors/*")) != []


@pytest.mark.slow
def test_a_search_that_is_killed_takes_the_same_path_and_asks_nothing_twice(start, tmp_path):
    killed, whole, path = tmp_path / "killed", tmp_path / "whole", tmp_path / "search.yaml"
    recipe = small_recipe("search")
    recipe["extrapolation"] = {"targets": "auto", "search": {"farthest": 3, "budget_fraction": 0.9}}
    path.write_text(yaml.safe_dump(recipe))
    kept: dict[Path, tuple[int, bytes]] = {}
    for words in SEARCH_KILL_AT:
        with start(path, killed) as program:
            program.wait_for_words(words)
            kill(program)
        assert kept.items() <= scores_of(killed).items()
        kept = scores_of(killed)
    shutil.copytree(killed / "s3", whole / "s3")
    for folder in whole.glob("s3/relex/runs/*/scores"):
        shutil.rmtree(folder)
    for home in (killed, whole):
        with start(path, home) as program:
            run_to_end(program)
    assert kept.items() <= scores_of(killed).items()  # what was stored is not generated again
    found = summary_of(killed)
    assert found.search == summary_of(whole).search
    assert found.decision == summary_of(whole).decision
    assert answers_to_validation(killed) == answers_to_validation(whole)
    assert found.search.num_tokens == sum(answers_to_validation(killed).values())


def scores_of(home: Path) -> dict[Path, tuple[int, bytes]]:
    """Time and bytes of every stored file of the validation answers that are whole."""
    folders = [path.parent for path in home.glob(f"{PARTS}/manifest.json")]
    files = [path for folder in folders for path in folder.iterdir()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def answers_to_validation(home: Path) -> dict[tuple[str, str, int], int]:
    """Tokens by candidate, question and sample; each was stored once."""
    tokens: dict[tuple[str, str, int], int] = {}
    for path in home.glob(f"{PARTS}/answers.jsonl"):
        for answer in read_answers(path):
            asked = (path.parts[-3], answer.question_id, answer.sample)
            assert asked not in tokens
            tokens[asked] = answer.num_tokens
    return tokens


def summary_of(home: Path) -> RunSummary:
    (path,) = home.glob("s3/relex/runs/*/report/summary.json")
    return RunSummary.model_validate_json(path.read_bytes())


def model_of(home: Path) -> bytes:
    (path,) = home.glob("s3/relex/runs/*/model/model.safetensors")
    return path.read_bytes()
