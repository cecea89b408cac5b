"""What stays of a run that is done."""

import shutil

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.window import apply_retention
from tasks.progress import say
from tasks.run import Run


@task(task_run_name="tidy", cache_policy=NO_CACHE)
def tidy(run: Run) -> None:
    """Remove the scratch folder, and of the run what its recipe does not keep."""
    shutil.rmtree(run.work, ignore_errors=True)
    removed = apply_retention(run.store, run.recipe.storage.keep)
    if removed:
        say(f"removed {len(removed)} objects: the recipe keeps {run.recipe.storage.keep}")
