"""The chosen model becomes a checkpoint on S3 and a version in the registry."""

import shutil
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.candidates import WeightSource, open_weights
from relex.checkpoints import write_checkpoint
from relex.digests import sha256_json
from relex.manifest import finished_manifest, publish_folder
from relex.selection import Decision
from tasks.progress import say
from tasks.run import Run
from tasks.stage import stage

KIND = "model"


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish(run: Run, factors: Path, decision: Decision) -> None:
    """Write the chosen candidate as a Hugging Face checkpoint to S3 and register it in MLflow."""
    chosen = decision.chosen
    store = run.store.child("model")
    inputs = {
        "recipe": run.recipe.digest,
        "base": run.base_digest,
        "candidate": sha256_json(chosen.model_dump(mode="json")),
    }
    manifest = finished_manifest(store, KIND, inputs)
    if manifest is None:
        with stage(run, "publish"):
            folder = run.work / "model"
            shutil.rmtree(folder, ignore_errors=True)
            source = WeightSource(
                base=str(run.base_folder),
                window=run.window_uri,
                connection=run.connection,
                factors=str(factors),
            )
            write_checkpoint(folder, run.base, open_weights(source).tensors(chosen))
            manifest = publish_folder(store, folder, KIND, inputs)
            shutil.rmtree(folder)
    tags = {
        "relex.run_id": run.recipe.run_id,
        "relex.recipe_digest": run.recipe.digest,
        "relex.base_digest": run.base_digest,
        "relex.candidate": chosen.key,
        "relex.window_steps": str(run.recipe.training.steps),
        "relex.manifest_digest": sha256_json(manifest.model_dump(mode="json")),
    }
    model = run.recipe.tracking.registered_model or run.recipe.name
    version = run.tracker.register(model, store.uri, tags, decision.reason)
    say(f"{chosen.label} is at {store.uri} and is version {version} of {model} in MLflow")
