"""A pipeline run: its recipe and the places that its stages share."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from relex.checkpoints import Checkpoint, locate_base
from relex.config import Recipe, dump_recipe
from relex.device import Device, resolve_device
from relex.home import Home, open_home
from relex.problems import Problem, load_problems
from relex.storage import S3Connection, Store, connection_of, open_store
from relex.storage.embedded import embedded_s3
from tasks.tracking import Tracker
from tasks.versions import installed_versions

EMBEDDED_BUCKET = "relex"
TRAIN, VALIDATION = "train", "validation"
SECONDS_FILE = "seconds.json"
RECIPE_FILE = "recipe.yaml"


class Run:
    """Places of one run. The expensive ones are opened when they are first asked for."""

    def __init__(self, recipe: Recipe, home: Home, root_uri: str, connection: S3Connection) -> None:
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

    @property
    def window_uri(self) -> str:
        return f"{self.uri}/window"

    @property
    def benchmark_names(self) -> list[str]:
        """What candidates are measured on: validation first, then test, then guard."""
        return [VALIDATION, *(benchmark.name for benchmark in self.recipe.problems.benchmarks)]

    @cached_property
    def problems(self) -> dict[str, list[Problem]]:
        """All problems by use: train, validation, and each benchmark by name."""
        config = self.recipe.problems
        sources = {TRAIN: config.train, VALIDATION: config.validation}
        sources |= {benchmark.name: benchmark.source for benchmark in config.benchmarks}
        return {name: load_problems(source) for name, source in sources.items()}

    @property
    def params(self) -> dict[str, str | int | float]:
        """What tells runs apart in MLflow; the same on the parent and on every child."""
        recipe = self.recipe
        return {
            "recipe": recipe.name,
            "base": recipe.base.path,
            "reward": " + ".join(term.reward for term in recipe.rewards),
            "learning_rate": recipe.training.learning_rate,
            "steps_trained": recipe.training.steps,
            "seed": recipe.seed,
        }

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
    def tracker(self) -> Tracker:
        return Tracker(self.recipe.tracking, self.home, self.recipe.run_id)

    @property
    def report_folder(self) -> Path:
        """The local copy of the report."""
        return self.home.root / "reports" / self.recipe.run_id

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """The MLflow run ends as the block does: FINISHED, FAILED, or KILLED when interrupted."""
        tags = {"relex.recipe_digest": self.recipe.digest, "relex.base_digest": self.base_digest}
        tags |= {f"version.{name}": version for name, version in installed_versions().items()}
        self.tracker.begin()
        self.tracker.describe(self.params, tags)
        self.tracker.log_text(dump_recipe(self.recipe), RECIPE_FILE)
        try:
            yield
        except BaseException as error:
            self.tracker.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        self.tracker.end("FINISHED")

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
def open_run(recipe: Recipe) -> Iterator[Run]:
    """The places of `recipe`'s run; an embedded S3 server lives as long as the block."""
    home = open_home()
    with ExitStack() as stack:
        if recipe.storage.uri == "embedded":
            connection = stack.enter_context(embedded_s3(home.s3, EMBEDDED_BUCKET))
            yield Run(recipe, home, f"s3://{EMBEDDED_BUCKET}", connection)
        else:
            yield Run(recipe, home, recipe.storage.uri, connection_of(recipe.storage))
