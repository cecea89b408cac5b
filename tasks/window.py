"""Snapshots that are there already become the window of a run."""

import shutil

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.config import Recipe
from relex.errors import RecipeError
from relex.window import pack, read_window_manifest
from tasks.progress import say, stage_progress
from tasks.run import Run


@task(task_run_name="take window", cache_policy=NO_CACHE)
def take_window(run: Run) -> None:
    """Pack what lies on S3 or on the Hub into the run's own window, from where it stands; what can
    be fitted where it is stays there."""
    if isinstance(run.recipe, Recipe):
        raise RecipeError(
            f"recipe {run.recipe.name}: has no window; say where it is in window.uri, or train one "
            "with relex-pipeline"
        )
    source = run.source
    if source is None:
        say(f"the window is read where it is: {run.window_uri}")
        return
    store, work = run.store.child("window"), run.work / "pack"
    manifest = read_window_manifest(store)
    if manifest is not None and manifest.facts.complete:
        say(f"the window is complete at {store.uri}; not packed again")
        return
    work.mkdir(parents=True, exist_ok=True)
    title = f"Packing {len(source.steps)} snapshots"
    with run.timed("pack"), stage_progress("pack", title, len(source.steps)) as progress:
        pack(
            source,
            run.base,
            store,
            work=work,
            on_progress=lambda done, total: progress.update(done),
        )
    shutil.rmtree(work)
    say(f"window of {len(source.steps)} snapshots at {store.uri}")
