"""A round is a run on what the round before chose: all in all as resumable, and the first of them
the run of a recipe without rounds."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relex.run
from relex.candidates import BASE, Candidate, parse_candidate
from relex.checkpoints import Checkpoint, TensorFile
from relex.config import Recipe, SelectionConfig, check_recipe
from relex.errors import InputError, ResourceError, StorageError
from relex.home import Home
from relex.parts import find_part
from relex.report import RunSummary, round_rows
from relex.run import run_stages
from relex.run.places import Run, open_run
from relex.run.rounds import carried_moments, check_one_round, rounds_of
from relex.run.stage import StageStarted
from relex.run.window import fill_window
from relex.selection import Measured, decide
from relex.storage import S3Connection
from relex.storage.folder import FolderStore
from relex.storage.manifest import publish_folder
from relex.training import MOMENTS, StepTrained
from relex.window import read_window_manifest
from tests.flows.small import small_recipe


def recipe_of(rounds: int, **training: Any) -> dict[str, Any]:
    recipe = small_recipe("rounds")
    recipe["rounds"] = rounds
    recipe["training"] |= {"steps": 3, "checkpoint_every_steps": 1, **training}
    recipe["extrapolation"]["targets"] = [6]
    recipe["evaluation"] |= {"observed_steps": [2], "denoised_steps": []}
    for source in (recipe["problems"]["validation"], recipe["problems"]["test"][0]["source"]):
        source["limit"] = 12
    return recipe


def checked(rounds: int, **training: Any) -> Recipe:
    return check_recipe(recipe_of(rounds, **training), "rounds")


def test_the_first_round_is_the_run_without_rounds() -> None:
    rounds = rounds_of(checked(3))
    assert [goes_on for _, goes_on in rounds] == [True, True, False]
    recipes = [recipe for recipe, _ in rounds]
    assert [recipe.rounds for recipe in recipes] == [1, 2, 3]
    assert recipes[0] == check_recipe(
        {key: value for key, value in recipe_of(1).items() if key != "rounds"}, "plain"
    )
    assert len({recipe.run_id for recipe in recipes}) == 3
    assert rounds_of(checked(1)) == [(checked(1), False)]


def test_what_rounds_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"recipe rounds: rounds: 2: .* only relex run knows"):
        check_one_round(checked(2))
    check_one_round(checked(1))
    monkeypatch.setenv("RELEX_CLUSTER", "head:6379")
    with pytest.raises(ResourceError, match="rounds: 2: the base of a later round is on this"):
        rounds_of(checked(2))
    assert rounds_of(checked(1)) == [(checked(1), False)]


def test_a_round_without_the_one_before_has_no_base(tmp_path: Path) -> None:
    run = run_of(checked(2), tmp_path)
    with pytest.raises(StorageError, match="is not a finished model"):
        _ = run.base_folder


def run_of(recipe: Recipe, home: Path, *, goes_on: bool = False) -> Run:
    run = Run(recipe, Home(home), str(home / "s3"), S3Connection())
    run.goes_on = goes_on
    return run


def second(home: Path, chosen: str, moments: str, *, is_kept: bool = True) -> Run:
    """The second round of a run whose first chose so, and has kept its moments."""
    run = run_of(checked(2, moments=moments), home)
    assert run.before is not None
    right_QK = np.ones((30, 1), dtype=bool)
    decision = decide([Measured(Candidate(step=30), right_QK)], SelectionConfig(), seed=0)
    decision = decision.model_copy(update={"chosen": parse_candidate(chosen)})
    run.before.put("decision.json", decision.model_dump_json().encode())
    if is_kept:
        folder = home / "moments"
        folder.mkdir()
        (folder / "moments.safetensors").touch()
        publish_folder(run.before.child("moments"), folder, MOMENTS, {})
    return run


@pytest.mark.parametrize(
    ("chosen", "moments", "reset"),
    [
        ("observed-30", "reset", None),
        ("observed-30", "reset_moved", None),
        ("secant-960@2-3.mlp", "kept", None),
        ("secant-960@2-3.mlp", "reset_moved", "2-3.mlp"),
        ("line-60", "kept", None),
        ("observed-10", "kept", None),
    ],
)
def test_moments_go_on_as_the_recipe_says(
    chosen: str, moments: str, reset: str | None, tmp_path: Path
) -> None:
    run = second(tmp_path, chosen, moments)
    assert run.before is not None
    assert carried_moments(run) == {"moments": f"{run.before.uri}/moments", "reset": reset}


@pytest.mark.parametrize(
    ("chosen", "moments"),
    [("line-60", "reset"), ("line-60", "reset_moved"), ("secant-960@2-3.mlp", "reset")],
)
def test_moments_begin_anew_as_the_recipe_says(chosen: str, moments: str, tmp_path: Path) -> None:
    assert carried_moments(second(tmp_path, chosen, moments)) == {}


def test_moments_that_were_not_kept_are_missed_in_words(tmp_path: Path) -> None:
    run, told = second(tmp_path, "observed-30", "kept", is_kept=False), []
    run.listeners.append(told.append)
    assert carried_moments(run) == {}
    assert "Adam's moments begin at zero: round 1 was trained before another" in told[0].text


def test_moments_are_kept_where_another_round_follows(tmp_path: Path) -> None:
    assert carried_moments(run_of(checked(1), tmp_path)) == {}
    run = run_of(checked(1), tmp_path, goes_on=True)
    assert carried_moments(run) == {"keep_moments": f"{run.uri}/moments"}
    adapters = run_of(
        checked(2, lora={"rank": 4}, snapshot_dtype="float32"), tmp_path, goes_on=True
    )
    assert carried_moments(adapters) == {}


def content_of(home: Path, run_id: str) -> dict[str, bytes]:
    """What a run keeps, but for times, the words of logs, and the random name of a writer."""
    root = home / "s3" / "relex" / "runs" / run_id
    kept = ("window", "factors", "scores", "model", "decision.json", "recipe.yaml", "dtype")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] in kept
        if path.name != "score.json" and path.parent.name != "window"
        if path.name != "manifest.json" or path.parts[-4] != "scores"
    }


class Interrupted(Exception):
    """What a run meets."""


class Interrupt:
    """Ends the second round at a step of its training, and then once more as it publishes."""

    def __init__(self) -> None:
        self.num_trainings, self.num_ends = 0, 0

    def __call__(self, event: Any) -> None:
        is_publishing = isinstance(event, StageStarted) and event.stage == "publish"
        is_training = isinstance(event, StepTrained) and event.step == 2
        self.num_trainings += isinstance(event, StageStarted) and event.stage == "train"
        is_time = is_training if self.num_ends == 0 else is_publishing and self.num_ends == 1
        if self.num_trainings >= 2 and is_time:
            self.num_ends += 1
            raise Interrupted


@pytest.mark.slow
def test_rounds_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_in(home: str, rounds: int, *listeners: Any) -> RunSummary:
        monkeypatch.setenv("RELEX_HOME", str(tmp_path / home))
        return relex.run(recipe_of(rounds, moments="kept"), listeners)

    first, last = (recipe.run_id for recipe, _ in rounds_of(checked(2, moments="kept")))
    plain, whole, interrupt = run_in("plain", 1), run_in("whole", 2), Interrupt()
    for _ in range(2):
        with pytest.raises(Interrupted):
            run_in("interrupted", 2, interrupt)
    resumed = run_in("interrupted", 2, interrupt)
    assert interrupt.num_ends == 2

    # The first round is the run without rounds; the second is the same however often it ended.
    homes = {home: tmp_path / home for home in ("plain", "whole", "interrupted")}
    for home in ("plain", "interrupted"):
        assert content_of(homes[home], first) == content_of(homes["whole"], first)
    assert content_of(homes["interrupted"], last) == content_of(homes["whole"], last)

    # The second began from what the first chose, and the report shows the path.
    assert (plain.earlier, round_rows(plain)) == ((), [])
    assert (
        [one.run_id for one in whole.rounds] == [first, last] == [x.run_id for x in resumed.rounds]
    )
    chosen = whole.rounds[0].chosen
    assert [row["trained steps"] for row in round_rows(whole)] == ["3, in all 3", "3, in all 6"]
    assert whole.rounds[0].accuracy(chosen) == whole.rounds[1].accuracy(BASE)
    report = (homes["whole"] / "reports" / last / "report.md").read_text()
    assert "## The rounds" in report and first in report
    # What only the next round needs is gone when that is done.
    assert not list((homes["whole"] / "s3" / "relex" / "runs" / first / "moments").glob("*"))


def jumping(moments: str) -> Recipe:
    """Two rounds of the toy that learn so fast that the first one jumps."""
    recipe = recipe_of(
        2,
        steps=6,
        moments=moments,
        learning_rate=1e-4,
        prompts_per_step=16,
        completions_per_prompt=16,
        completions_per_device_batch=256,
        snapshot_dtype="rounded",
    )
    recipe["extrapolation"]["targets"] = "auto"
    recipe["evaluation"] |= {"samples_per_question": 4, "observed_steps": []}
    recipe["problems"]["validation"]["limit"] = 100
    return check_recipe(recipe, "rounds")


@pytest.mark.slow
def test_a_round_trains_on_from_where_the_one_before_jumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEX_HOME", str(tmp_path))
    with open_run(rounds_of(jumping("reset_moved"))[0][0], goes_on=True) as first:
        summary = run_stages(first)
    chosen = summary.decision.chosen
    assert chosen.is_beyond and chosen.part
    moved, folder = find_part(chosen.part), Path(first.uri)
    model = Checkpoint(folder / "model")

    windows = set()
    for moments in ("kept", "reset", "reset_moved"):
        (before, _), (recipe, _) = rounds_of(jumping(moments))
        if before != first.recipe:
            # Their first rounds differ in nothing but their names.
            shutil.copytree(folder, folder.with_name(before.run_id))
        with open_run(recipe, goes_on=True) as second:
            fill_window(second)
            manifest = read_window_manifest(second.store.child("window"))
            kept = Path(second.store.child(MOMENTS).uri)
        # The second window begins at the very weights that the first round published.
        assert manifest is not None and manifest.base_digest == model.digest()
        windows.add(manifest.facts.steps)
        file = TensorFile(FolderStore(kept), "moments.safetensors")
        for name in model.tensors:
            is_new = {"kept": False, "reset": True, "reset_moved": moved.holds(name)}[moments]
            updates = file.read_tensor(f"{name}.step").item()
            assert updates == (6 if is_new else 12), (moments, name)
    # What becomes of the moments decides what is trained.
    assert len(windows) == 3

    whole = relex.run(jumping("reset_moved"))
    assert [one.chosen for one in whole.rounds] == [chosen, whole.decision.chosen]
    began, jumped = whole.rounds[1].accuracy(BASE), whole.rounds[0].accuracy(chosen)
    assert began == jumped
    rows = round_rows(whole)
    assert [row["trained steps"] for row in rows] == ["6, in all 6", "6, in all 12"]
    assert rows[0]["chosen"] == chosen.key
    report = (tmp_path / "reports" / whole.run_id / "report.md").read_text()
    assert "## The rounds" in report and chosen.key in report
