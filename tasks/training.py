"""The short GRPO run, its window and its curve."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from relex.config import Recipe
from relex.errors import RecipeError
from relex.report import TrainingStep
from relex.training import (
    SnapshotStored,
    StepTrained,
    TrainingEvent,
    TrainingJob,
    TrainingResumed,
    TrainingWarning,
    run_training,
)
from relex.window import read_window_manifest
from tasks.progress import StageProgress, note_line, say, stage_progress
from tasks.run import Run
from tasks.stage import stage

CURVE_FILE = "curve.jsonl"


@task(task_run_name="train", cache_policy=NO_CACHE)
def train(run: Run) -> None:
    """Fill the window of the run, from where it stands; the steps' metrics go to MLflow."""
    store = run.store.child("window")
    manifest = read_window_manifest(store)
    is_complete = manifest is not None and manifest.facts.complete
    if is_complete and run.store.size(CURVE_FILE) is not None:
        say(f"the window is complete at {store.uri}; not trained again")
        return
    recipe = run.recipe
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"recipe {recipe.name}: has a window in place of training; run it with "
            "relex-extrapolate"
        )
    training = recipe.training
    job = TrainingJob(
        recipe=recipe,
        base=str(run.base_folder),
        window=store.uri,
        connection=run.connection,
        work=str(run.work / "training"),
    )
    params = {"kind": "training", "step": training.steps, "answered": "no questions"}
    with (
        stage(run, "train"),
        run.tracker.child("training", "training", params) as child,
        stage_progress("training", f"Training {training.steps} steps", training.steps) as progress,
    ):
        listener = _Listener(run, child, progress)
        run_training(job, listener.on_event, get_run_logger().info)
    run.store.put_file(CURVE_FILE, listener.curve)
    say(f"window of {len(training.kept_steps)} snapshots at {store.uri}")


class _Listener:
    """Sends what training says to where people look."""

    def __init__(self, run: Run, child: str, progress: StageProgress) -> None:
        self.curve = run.work / CURVE_FILE
        self.curve.parent.mkdir(parents=True, exist_ok=True)
        self.curve.touch()
        self._tracker, self._child, self._progress = run.tracker, child, progress
        self._known_steps = run.tracker.logged_steps("training/reward_mean")

    def on_event(self, event: TrainingEvent) -> None:
        match event:
            case StepTrained():
                self._on_step(event)
            case TrainingWarning():
                get_run_logger().warning(event.message)
                say(f"warning: {event.message}")
            case TrainingResumed():
                say(f"resumed after step {event.step}")
            case SnapshotStored():
                get_run_logger().info(f"snapshot of step {event.step} is stored")

    def _on_step(self, event: StepTrained) -> None:
        accuracy = "" if event.accuracy is None else f", accuracy {event.accuracy:.3f}"
        note = f"reward {event.reward_mean:.3f}{accuracy}"
        self._progress.update(event.step, note)
        note_line(f"step {event.step} of {event.num_steps}: {note}, {event.step_seconds:.1f} s")
        step = TrainingStep(step=event.step, metrics=_metrics(event))
        self._record(step)
        with self.curve.open("a") as file:
            file.write(step.model_dump_json() + "\n")

    def _record(self, step: TrainingStep) -> None:
        """On the attempt, and on the run, where a step that is trained again has one point."""
        metrics = {f"training/{name}": value for name, value in step.metrics.items()}
        self._tracker.log(metrics, step.step, self._child)
        if step.step not in self._known_steps:
            self._tracker.log(metrics, step.step)


def _metrics(event: StepTrained) -> dict[str, float]:
    """The measurements by name, those that were not taken left out."""
    values = event.model_dump(exclude={"event", "step", "num_steps", "reward_means"})
    rewards = {f"reward/{name}": mean for name, mean in event.reward_means.items()}
    return {name: value for name, value in values.items() if value is not None} | rewards


def read_curve(run: Run) -> tuple[TrainingStep, ...]:
    """The training curve, ascending; of a step that was trained twice, the later values. Empty for
    a window from elsewhere."""
    if run.store.size(CURVE_FILE) is None:
        return ()
    lines = run.store.get(CURVE_FILE).decode().splitlines()
    steps = {step.step: step for step in map(TrainingStep.model_validate_json, lines)}
    return tuple(steps[step] for step in sorted(steps))
