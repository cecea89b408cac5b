"""The fit: per tensor one direction and a line over the steps."""

import shutil
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from relex.candidates import DENOISED
from relex.extrapolation import KIND, Diagnostics, diagnose, fit_factors, fit_inputs
from relex.manifest import fetch_folder, finished_manifest, publish_folder
from relex.report import concerns, verdict
from relex.search import SEARCHED
from relex.window import open_window
from tasks.progress import say, stage_progress
from tasks.run import Run
from tasks.stage import stage


@task(task_run_name="fit", cache_policy=NO_CACHE)
def fit(run: Run) -> Path:
    """Fit the window; returns the local folder with the factors."""
    folder = run.work / "factors"
    store = run.store.child("factors")
    window = open_window(run.window_uri, run.connection, run.base)
    options = run.recipe.extrapolation
    methods = SEARCHED if options.targets == "auto" else (*options.methods, DENOISED)
    inputs = fit_inputs(window, run.base, window.steps, methods=methods)
    if finished_manifest(store, KIND, inputs) is not None:
        if not folder.exists():
            fetch_folder(store, folder, KIND)
        say(f"the factors are at {store.uri}; not fitted again")
        return folder
    title = f"Fitting {len(window.tensors)} tensors over {len(window.steps)} steps"
    with stage(run, "fit"), stage_progress("fit", title, 100) as progress:
        shutil.rmtree(folder, ignore_errors=True)
        factors = fit_factors(
            window,
            run.base,
            folder,
            methods=methods,
            memory_bytes=options.memory_bytes,
            device=run.device,
            on_progress=lambda done, total: progress.update(100 * done // total),
        )
        publish_folder(store, folder, KIND, inputs)
    _tell(run, diagnose(factors.table))
    return folder


def _tell(run: Run, diagnostics: Diagnostics) -> None:
    """The fit in the log and in MLflow: what it explains, and whether it forecasts."""
    overall = diagnostics.overall
    if overall.explained_fraction is None or overall.r2 is None:
        say("no weight moved in the window; every target equals the base")
        return
    explained = f"{overall.explained_fraction:.3f} of the displacement"
    say(f"rank {diagnostics.rank} explains {explained}; R2 of the lines {overall.r2:.3f}")
    say(verdict(diagnostics))
    for warning in concerns(diagnostics):
        say(f"warning: {warning}")
    metrics = {
        "explained_fraction": overall.explained_fraction,
        "r2": overall.r2,
        "forecast_skill": overall.forecast_skill.over_staying,
        "half_cosine": overall.half_cosine,
        "persistence": overall.persistence,
        "num_anomalies": float(len(diagnostics.anomalies)),
    }
    run.tracker.log({f"fit/{n}": value for n, value in metrics.items() if value is not None})
