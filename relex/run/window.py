"""The window of a run: trained, or taken from elsewhere; and the fit through it."""

import shutil
from math import inf
from pathlib import Path

from relex.candidates import DENOISED
from relex.config import Recipe, WindowRecipe
from relex.errors import RecipeError
from relex.extrapolation import KIND as FACTORS_KIND
from relex.extrapolation import Diagnostics, FitJob, diagnose, fit_inputs, open_factors, run_fit
from relex.memory import WindowForecast, window_bytes
from relex.report import TrainingStep, concerns, verdict
from relex.run.nodes import fit_on_nodes, remove_parts, train_on_nodes
from relex.run.places import Run
from relex.run.rounds import carried_moments
from relex.run.stage import Diagnosed, Progress, stage
from relex.search import SEARCHED
from relex.storage.manifest import fetch_folder, finished_manifest, publish_folder
from relex.training import (
    RolloutsChosen,
    SnapshotStored,
    StepTrained,
    TrainingEvent,
    TrainingJob,
    TrainingResumed,
    TrainingWarning,
    WindowLooked,
    run_training,
)
from relex.window import open_window, pack, read_window_manifest

CURVE_FILE = "curve.jsonl"


def fill_window(run: Run) -> None:
    """The window that the recipe asks for."""
    (train if isinstance(run.recipe, Recipe) else take_window)(run)


def train(run: Run) -> None:
    """The short GRPO run fills the window of the run, from where it stands."""
    run.keep()
    store = run.store.child("window")
    manifest = read_window_manifest(store)
    is_complete = manifest is not None and manifest.facts.complete
    if is_complete and run.store.size(CURVE_FILE) is not None:
        run.say(f"the window is complete at {store.uri}; not trained again")
        return
    recipe = run.recipe
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"recipe {recipe.name}: has a window in place of training; run it with "
            "the flow relex-extrapolate"
        )
    training = recipe.training
    at_most = "at most " if training.steps == "auto" else ""
    title = f"Training {at_most}{training.last_step} steps"
    with stage(run, "train", title, training.last_step) as progress:
        estimated = window_bytes(recipe, run.base, run.model)
        curve = _Curve(run, progress, WindowForecast(training.kept_steps, estimated))
        if run.cluster is not None:
            train_on_nodes(run, recipe, run.cluster, curve.on_event)
        else:
            run_training(_job(run, recipe), curve.on_event, run.detail)
    run.store.put_file(CURVE_FILE, curve.path)
    run.say(f"window of {len(run.window_steps)} snapshots at {store.uri}")


def _job(run: Run, recipe: Recipe) -> TrainingJob:
    return TrainingJob(
        recipe=recipe,
        base=str(run.base_folder),
        window=run.store.child("window").uri,
        connection=run.connection,
        work=str(run.work / "training"),
        **carried_moments(run),
    )


class _Curve:
    """Passes on what training says, and keeps its measurements."""

    def __init__(self, run: Run, progress: Progress, forecast: WindowForecast) -> None:
        self.path = run.work / CURVE_FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._run, self._progress, self._forecast = run, progress, forecast

    def on_event(self, event: TrainingEvent) -> None:
        self._run.emit(event)
        match event:
            case StepTrained():
                accuracy = "" if event.accuracy is None else f", accuracy {event.accuracy:.3f}"
                self._progress.update(event.step, f"reward {event.reward_mean:.3f}{accuracy}")
                self._run.detail(event.words)
                step = TrainingStep(step=event.step, metrics=event.metrics)
                with self.path.open("a") as file:
                    file.write(step.model_dump_json() + "\n")
            case TrainingWarning():
                self._run.warn(event.message)
            case RolloutsChosen():
                self._run.say(event.words)
            case TrainingResumed():
                self._run.say(f"resumed after step {event.step}")
            case WindowLooked(is_settled=is_settled):
                (self._run.say if is_settled else self._run.detail)(event.words)
            case SnapshotStored():
                self._run.detail(f"snapshot of step {event.step} is stored")
                self._correct_forecast(event)

    def _correct_forecast(self, event: SnapshotStored) -> None:
        run = self._run
        if note := self._forecast.stored(event.step, event.size_bytes):
            run.say(note)
        is_local = run.recipe.storage.uri == "embedded"
        free_bytes = shutil.disk_usage(run.home.root).free if is_local else inf
        if warning := self._forecast.check_space(free_bytes):
            run.warn(warning)


def read_curve(run: Run) -> tuple[TrainingStep, ...]:
    """The training curve, ascending; of a step that was trained twice, the later values. Empty for
    a window from elsewhere."""
    if run.store.size(CURVE_FILE) is None:
        return ()
    lines = run.store.get(CURVE_FILE).decode().splitlines()
    steps = {step.step: step for step in map(TrainingStep.model_validate_json, lines)}
    return tuple(steps[step] for step in sorted(steps))


def take_window(run: Run) -> None:
    """Pack what lies on S3 or on the Hub into the run's own window, from where it stands; what can
    be fitted where it is stays there."""
    if not isinstance(run.recipe, WindowRecipe):
        raise RecipeError(
            f"recipe {run.recipe.name}: has no window; say where it is in window.uri, or train one "
            "with the flow relex-pipeline"
        )
    run.keep()
    source = run.source
    if source is None:
        run.say(f"the window is read where it is: {run.window_uri}")
        return
    store, work = run.store.child("window"), run.work / "pack"
    manifest = read_window_manifest(store)
    if manifest is not None and manifest.facts.complete:
        run.say(f"the window is complete at {store.uri}; not packed again")
        return
    work.mkdir(parents=True, exist_ok=True)
    num_steps = len(source.steps)
    with stage(run, "pack", f"Packing {num_steps} snapshots", num_steps) as progress:
        pack(
            source,
            run.base,
            store,
            work=work,
            on_progress=lambda done, _: progress.update(done),
            on_note=run.say,
        )
    shutil.rmtree(work)
    run.say(f"window of {num_steps} snapshots at {store.uri}")


def fit(run: Run) -> Path:
    """Per tensor one direction and a line over the steps; returns the local folder of factors."""
    folder = run.work / "factors"
    store = run.store.child("factors")
    window = open_window(run.window_uri, run.connection, run.base)
    options = run.recipe.extrapolation
    methods = SEARCHED if options.targets == "auto" else (*options.methods, DENOISED)
    inputs = fit_inputs(window, run.base, window.steps, methods=methods)
    if finished_manifest(store, FACTORS_KIND, inputs) is not None:
        if not folder.exists():
            fetch_folder(store, folder, FACTORS_KIND)
        run.say(f"the factors are at {store.uri}; not fitted again")
        return folder
    title = f"Fitting {len(window.tensors)} tensors over {len(window.steps)} steps"
    with stage(run, "fit", title, 100) as progress:
        shutil.rmtree(folder, ignore_errors=True)

        def on_progress(num_done: int, num_total: int) -> None:
            progress.update(100 * num_done // num_total)

        if run.cluster is not None:
            fit_on_nodes(run, run.cluster, window, methods, on_progress)
        else:
            job = FitJob(
                window=run.window_uri,
                connection=run.connection,
                base=str(run.base_folder),
                out=str(folder),
                methods=methods,
                memory_bytes=options.memory_bytes,
                device=run.device,
            )
            run_fit(job, on_progress, run.detail)
        publish_folder(store, folder, FACTORS_KIND, inputs)
        if run.cluster is not None:
            remove_parts(run)
    _tell(run, diagnose(open_factors(folder).table))
    return folder


def _tell(run: Run, diagnostics: Diagnostics) -> None:
    """What the fit explains, and whether it forecasts."""
    run.emit(Diagnosed(diagnostics))
    overall = diagnostics.overall
    if overall.explained_fraction is None or overall.r2 is None:
        for warning in concerns(diagnostics):
            run.warn(warning)
        return
    explained = f"{overall.explained_fraction:.3f} of the displacement"
    run.say(f"rank {diagnostics.rank} explains {explained}; R2 of the lines {overall.r2:.3f}")
    run.say(verdict(diagnostics))
    for warning in concerns(diagnostics):
        run.warn(warning)
