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
from tests.waiting import wait_until, wait_until_gone

TOY = Path(__file__).parents[2] / "deployments" / "recipes" / "toy.yaml"
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


@pytest.fixture
def small_recipe(tmp_path) -> Path:
    recipe = yaml.safe_load(TOY.read_text())
    recipe["name"] = "small"
    recipe["storage"] = {"keep": "factors"}
    del recipe["training"]["snapshot_dtype"]  # the default, bfloat16, in which little moves
    recipe["training"] |= {
        "steps": 6,
        "prompts_per_step": 8,
        "completions_per_prompt": 4,
        "completions_per_device_batch": 32,
    }
    recipe["extrapolation"]["targets"] = [9, 12]
    recipe["evaluation"] |= {
        "engine": "transformers",
        "samples_per_question": 2,
        "observed_steps": [3],
        "denoised_steps": [6],
    }
    recipe["problems"]["validation"]["limit"] = 50
    recipe["problems"]["test"][0]["source"]["limit"] = 50
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def start(small_recipe, starter, build_environment) -> Callable[[Path], AbstractContextManager]:
    """Starts the recipe with its home in a folder."""
    return lambda home: starter.started(
        "flows.program", ["pipeline", str(small_recipe)], build_environment(home)
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
def test_a_run_that_is_killed_at_every_stage_ends_as_if_it_never_was(moments, start, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with start(killed) as program:
        third = "s3/relex/runs/*/window/steps/step_000003.safetensors"
        wait_until(lambda: list(killed.glob(third)))
        kill(program)
    for words in moments:
        with start(killed) as program:
            program.wait_for_words(words)
            kill(program)
    for home in (killed, whole):
        with start(home) as program:
            run_to_end(program)
    assert summary_of(killed).decision == summary_of(whole).decision
    assert summary_of(killed).benchmarks == summary_of(whole).benchmarks
    assert model_of(killed) == model_of(whole)
    assert list(killed.glob("s3/relex/runs/*/window/*")) == []
    assert list(killed.glob("s3/relex/runs/*/factors/*")) != []


@pytest.mark.slow
def test_a_search_that_is_killed_takes_the_same_path_and_asks_nothing_twice(
    small_recipe, start, tmp_path
):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    recipe = yaml.safe_load(small_recipe.read_text())
    recipe["extrapolation"] = {"targets": "auto", "search": {"farthest": 3, "budget_fraction": 0.9}}
    small_recipe.write_text(yaml.safe_dump(recipe))
    kept: dict[Path, tuple[int, bytes]] = {}
    for words in SEARCH_KILL_AT:
        with start(killed) as program:
            program.wait_for_words(words)
            kill(program)
        assert kept.items() <= scores_of(killed).items()
        kept = scores_of(killed)
    shutil.copytree(killed / "s3", whole / "s3")
    for folder in whole.glob("s3/relex/runs/*/scores"):
        shutil.rmtree(folder)
    for home in (killed, whole):
        with start(home) as program:
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
