"""The chosen model becomes a checkpoint on S3 and a version in the registry."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.candidates import Candidate, WeightSource, open_weights
from relex.checkpoints import write_checkpoint
from relex.digests import sha256_json
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Answer, Score
from relex.extrapolation import KIND as FACTORS_KIND
from relex.manifest import Manifest, finished_manifest, publish_folder, read_manifest
from relex.report import model_card
from relex.selection import Decision
from tasks.champion import QUESTIONS_TAG, Contest, challenge
from tasks.progress import say
from tasks.published import (
    MODEL_KIND,
    SCORE_KIND,
    manifest_digest,
    place_tags,
    questions_digest,
    read_scored,
)
from tasks.run import Run
from tasks.stage import stage
from tasks.tracking_names import model_name, run_title

MODEL_CARD = "README.md"


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish(run: Run, factors: Path, decision: Decision) -> str:
    """Write the chosen candidate as a Hugging Face checkpoint to S3, register it in MLflow, and let
    it challenge the champion. Returns what became of that, in a sentence.
    """
    with stage(run, "publish"):
        test = _headline(run, decision.chosen)
        manifest = _write_model(run, factors, decision, test.score)
        registry = run.tracker.registry
        version = registry.register(
            model_name(run.recipe),
            run.store.child("model").uri,
            run.tracker.parent,
            {"relex.title": run_title(run.recipe), **test.tags, **_origin(run, manifest)},
        )
        say(f"{decision.chosen.label} is {version.name} in MLflow, at {version.source}")
        outcome = challenge(registry, Contest(run, version, test.answers))
        registry.describe(version, f"{outcome}\n\n{decision.reason}")
    say(outcome)
    return outcome


def _write_model(run: Run, factors: Path, decision: Decision, test: Score) -> Manifest:
    """The manifest of the checkpoint, which is written unless it is there."""
    store = run.store.child("model")
    inputs = {
        "recipe": run.recipe.digest,
        "base": run.base_digest,
        "candidate": sha256_json(decision.chosen.model_dump(mode="json")),
    }
    manifest = finished_manifest(store, MODEL_KIND, inputs)
    if manifest is not None:
        return manifest
    folder = run.work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    source = WeightSource(
        base=str(run.base_folder),
        window=run.window_uri,
        connection=run.connection,
        factors=str(factors),
    )
    write_checkpoint(folder, run.base, open_weights(source).tensors(decision.chosen))
    card = model_card(run.recipe, decision, test)
    (folder / MODEL_CARD).write_text(card, encoding="utf-8")
    manifest = publish_folder(store, folder, MODEL_KIND, inputs)
    shutil.rmtree(folder)
    return manifest


def _origin(run: Run, manifest: Manifest) -> dict[str, str]:
    """What the version was made from."""
    recipe = run.recipe
    fitted = read_manifest(run.store.child("factors"), FACTORS_KIND)
    assert fitted is not None, "factors are stored before anything is published"
    return {
        "relex.run_id": recipe.run_id,
        "relex.recipe_digest": recipe.digest,
        "relex.base": recipe.base.path,
        "relex.base_digest": run.base_digest,
        "relex.window_steps": str(run.window_steps[-1]),
        "relex.window_digest": fitted.inputs["window"],
        "relex.factors_digest": manifest_digest(fitted),
        "relex.manifest_digest": manifest_digest(manifest),
        **place_tags(run),
    }


@dataclass(frozen=True)
class _Test:
    """How the chosen candidate did on the first test benchmark."""

    score: Score
    answers: list[Answer]
    tags: dict[str, str]


def _headline(run: Run, chosen: Candidate) -> _Test:
    benchmark = run.recipe.problems.test[0].name
    store = run.store.child(f"scores/{benchmark}/{chosen.key}")
    manifest = read_manifest(store, SCORE_KIND)
    assert manifest is not None, "the chosen candidate is tested before it is published"
    score = Score.model_validate_json(store.get(SCORE_FILE))
    tags = {
        "relex.candidate": chosen.key,
        "relex.benchmark": benchmark,
        "relex.accuracy": f"{score.accuracy:.4f}",
        "relex.dtype": score.dtype,
        "relex.scores_digest": manifest.files[ANSWERS_FILE].sha256,
        QUESTIONS_TAG: questions_digest(run.recipe, manifest.inputs["problems"], score),
    }
    return _Test(score, read_scored(run.store, benchmark, chosen.key), tags)
