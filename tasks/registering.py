"""The published model becomes a version in the registry, and challenges the champion."""

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.candidates import Candidate
from relex.evaluation import ANSWERS_FILE, SCORE_FILE, Answer, Score
from relex.extrapolation import KIND as FACTORS_KIND
from relex.report import plain
from relex.run.measure import KIND as SCORE_KIND
from relex.run.places import Run
from relex.selection import Decision
from relex.storage.manifest import Manifest, read_manifest
from tasks.champion import QUESTIONS_TAG, Contest, challenge
from tasks.published import manifest_digest, place_tags, questions_digest, read_scored
from tasks.record import Record
from tasks.record_values import model_name, run_title


@task(task_run_name="register", cache_policy=NO_CACHE)
def register(run: Run, record: Record, decision: Decision, model: Manifest) -> str:
    """Register the model that the run has published, and let it challenge the champion.

    Returns what became of that, in a sentence.
    """
    test = _headline(run, decision.chosen)
    registry = record.tracker.registry
    version = registry.register(
        model_name(run.recipe),
        run.store.child("model").uri,
        record.tracker.parent,
        {"relex.title": run_title(run.recipe), **test.tags, **_origin(run, model)},
    )
    run.say(f"{decision.chosen.key} is {version.name} in MLflow, at {version.source}")
    outcome = challenge(registry, Contest(run, version, test.answers))
    registry.describe(version, f"{plain(outcome)}\n\n{plain(decision.reason)}")
    run.say(outcome)
    return outcome


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
    return _Test(read_scored(run.store, benchmark, chosen.key), tags)
