"""A pipeline run: its recipe and the places that its stages share."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path

from relex.checkpoints import Checkpoint, locate_base
from relex.claim import claimed_here, claimed_in, this_place
from relex.config import Recipe, WindowRecipe, dump_recipe
from relex.device import Device, resolve_device
from relex.errors import TrackingError
from relex.evaluation import Dtype, choose_dtype, parse_dtype
from relex.home import Home, open_home
from relex.problems import Problem, load_problems
from relex.storage import S3Connection, Store, check_writable, connection_of, open_store
from relex.storage.embedded import embedded_s3
from relex.window import Source, open_window, source_to_pack
from tasks.tracking import Tracker, status_of
from tasks.tracking_end import end_abandoned, note_begun, note_ended
from tasks.tracking_names import run_params, run_title
from tasks.versions import installed_versions

EMBEDDED_BUCKET = "relex"
TRAIN, VALIDATION = "train", "validation"
SECONDS_FILE = "seconds.json"
RECIPE_FILE = "recipe.yaml"
DTYPE_FILE = "dtype"

AnyRecipe = Recipe | WindowRecipe


class Run:
    """Places of one run. The expensive ones are opened when they are first asked for."""

    def __init__(
        self, recipe: AnyRecipe, home: Home, root_uri: str, connection: S3Connection
    ) -> None:
        self.recipe = recipe
        self.home = home
        self.connection = connection
        self.root_uri = root_uri
        self.uri = f"{root_uri.rstrip('/')}/runs/{recipe.run_id}"
        self.work = home.work(recipe.run_id)

    @property
    def device(self) -> Device:
        """`auto` resolved on this machine; raises ResourceError for `cuda` without a GPU."""
        return resolve_device(self.recipe.device)

    @cached_property
    def source(self) -> Source | None:
        """Snapshots from elsewhere that have to be packed into the window of the run first; None
        for a training, and where they can be fitted as they are."""
        if isinstance(self.recipe, Recipe):
            return None
        return source_to_pack(self.recipe.window.uri, self.connection, self.work / "hub")

    @cached_property
    def window_uri(self) -> str:
        """The window that is fitted, which may lie elsewhere."""
        if isinstance(self.recipe, Recipe) or self.source is not None:
            return f"{self.uri}/window"
        return self.recipe.window.uri

    @cached_property
    def window_steps(self) -> tuple[int, ...]:
        """The steps that the window has or will have, ascending."""
        if isinstance(self.recipe, Recipe):
            return self.recipe.training.kept_steps
        if self.source is not None:
            return self.source.steps
        return open_window(self.window_uri, self.connection, self.base).steps

    @property
    def observed_steps(self) -> tuple[int, ...]:
        """Observed candidates, ascending; the last step of the window is always among them."""
        return tuple(sorted({*self.recipe.evaluation.observed_steps, self.window_steps[-1]}))

    @property
    def benchmark_names(self) -> list[str]:
        """What candidates are measured on: validation first, then test, then guard."""
        return [VALIDATION, *(benchmark.name for benchmark in self.recipe.problems.benchmarks)]

    @cached_property
    def problems(self) -> dict[str, list[Problem]]:
        """All problems by use: train, validation, and each benchmark by name."""
        config = self.recipe.problems
        sources = {} if config.train is None else {TRAIN: config.train}
        sources[VALIDATION] = config.validation
        sources |= {benchmark.name: benchmark.source for benchmark in config.benchmarks}
        return {name: load_problems(source) for name, source in sources.items()}

    @cached_property
    def store(self) -> Store:
        return open_store(self.uri, self.connection)

    @cached_property
    def base_folder(self) -> Path:
        return locate_base(self.recipe.base)

    @cached_property
    def base(self) -> Checkpoint:
        return Checkpoint(self.base_folder)

    @cached_property
    def base_digest(self) -> str:
        return self.base.digest()

    @cached_property
    def dtype(self) -> Dtype:
        """What all answers of the run are computed in.

        Chosen for the machine that begins the run and kept with it: on another kind of processor
        the run goes on in the same, so that its candidates differ in their weights alone.
        """
        if self.store.size(DTYPE_FILE) is None:
            self.store.put(DTYPE_FILE, choose_dtype(self.base, self.device).encode())
        return parse_dtype(self.store.get(DTYPE_FILE).decode(), f"{self.uri}/{DTYPE_FILE}")

    @cached_property
    def tracker(self) -> Tracker:
        recipe = self.recipe
        return Tracker(recipe.tracking, self.home, recipe.run_id, run_title(recipe))

    @property
    def report_folder(self) -> Path:
        """The local copy of the report."""
        return self.home.root / "reports" / self.recipe.run_id

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """The MLflow run ends as the block does: FINISHED, FAILED, or KILLED when interrupted."""
        tags = {"relex.recipe_digest": self.recipe.digest, "relex.base_digest": self.base_digest}
        tags |= {f"version.{name}": version for name, version in installed_versions().items()}
        note_begun(self.home, self.recipe.run_id, self.tracker.uri, self.recipe.tracking.experiment)
        self.tracker.begin()
        self.tracker.describe(run_params(self.recipe, self.window_steps[-1], self.dtype), tags)
        self.tracker.log_text(dump_recipe(self.recipe), RECIPE_FILE)
        try:
            with self.tracker.machine_watched():
                yield
        except BaseException as error:
            # What ended the run matters more than a record that cannot be ended.
            with suppress(TrackingError):
                self._end_record(status_of(error))
            raise
        self._end_record("FINISHED")

    def _end_record(self, status: str) -> None:
        self.tracker.end(status)
        note_ended(self.home, self.recipe.run_id)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of the block to the run's record, over all attempts."""
        started = time.monotonic()
        yield
        seconds = self.seconds
        seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - started
        self.store.put(SECONDS_FILE, json.dumps(seconds).encode())

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by stage, in the order in which they ran."""
        if self.store.size(SECONDS_FILE) is None:
            return {}
        recorded: dict[str, float] = json.loads(self.store.get(SECONDS_FILE))
        return recorded


@contextmanager
def open_run(recipe: AnyRecipe) -> Iterator[Run]:
    """The places of `recipe`'s run, which is ours alone for as long as the block; an embedded S3
    server lives as long too. Raises ClaimError when another process works on the run."""
    home, run_id = open_home(), recipe.run_id
    end_abandoned(home)
    with ExitStack() as stack:
        stack.enter_context(claimed_here(home.lock(run_id), run_id))
        if recipe.storage.uri == "embedded":
            connection = stack.enter_context(embedded_s3(home.s3, EMBEDDED_BUCKET))
            yield Run(recipe, home, f"s3://{EMBEDDED_BUCKET}", connection)
            return
        run = Run(recipe, home, recipe.storage.uri, connection_of(recipe.storage))
        check_writable(run.root_uri, run.connection)
        stack.enter_context(claimed_in(run.store, this_place(home.root), run_id))
        yield run
