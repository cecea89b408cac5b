"""A run: its recipe, who listens to it, and the places that its stages share."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from relex.card import MODEL_KIND
from relex.checkpoints import Checkpoint, locate_base
from relex.claim import claimed_here, claimed_in, this_place
from relex.cluster import Cluster, cluster_address, open_cluster
from relex.config import GREEDY, VALIDATION, AnyRecipe, Recipe, WindowRecipe, dump_recipe
from relex.device import Device, resolve_device
from relex.evaluation import Dtype, choose_dtype, parse_dtype
from relex.evaluation.weight_source import WeightSource
from relex.home import Home, make_home
from relex.memory import Model, read_model
from relex.problems import Problem, load_problems
from relex.run.stage import Event, Line, Listener
from relex.storage import S3Connection, Store, check_writable, open_store
from relex.storage.embedded import embedded_s3
from relex.storage.folder import FolderStore
from relex.storage.manifest import fetch_folder, read_manifest
from relex.window import Source, open_window, read_window_manifest, source_to_pack

EMBEDDED_BUCKET = "relex"
TRAIN = "train"
SECONDS_FILE, RECIPE_FILE = "seconds.json", "recipe.yaml"
DTYPE_FILE, DECISION_FILE = "dtype", "decision.json"


class Run:
    """Places of one run. The expensive ones are opened when they are first asked for."""

    def __init__(
        self,
        recipe: AnyRecipe,
        home: Home,
        root_uri: str,
        connection: S3Connection,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.recipe = recipe
        self.home = home
        self.connection = connection
        self.root_uri = root_uri
        self.uri = self._uri_of(recipe)
        self.goes_on = False
        """Whether another round follows."""

        self.work = home.work(recipe.run_id)
        self.listeners = list(listeners)
        self._open = ExitStack()

    def _uri_of(self, recipe: AnyRecipe) -> str:
        return f"{self.root_uri.rstrip('/')}/runs/{recipe.run_id}"

    def close(self) -> None:
        """Leave the cluster."""
        self._open.close()

    @cached_property
    def cluster(self) -> Cluster | None:
        """Where the work is done, unless it is this machine; connected for as long as the run.

        Raises ResourceError when it cannot be reached.
        """
        address = cluster_address()
        if not address:
            return None
        return self._open.enter_context(open_cluster(address, self.detail))

    def emit(self, event: Event) -> None:
        """Tell every listener."""
        for listener in tuple(self.listeners):
            listener(event)

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        self.emit(Line(text))

    def detail(self, text: str) -> None:
        """A line for the log alone."""
        self.emit(Line(text, "detail"))

    def warn(self, text: str) -> None:
        """Something that the person should look at."""
        self.emit(Line(text, "warning"))

    @property
    def device(self) -> Device:
        """`auto` resolved where the work is done; raises ResourceError for `cuda` without a GPU."""
        if self.cluster is not None and self.recipe.device != "cpu":
            on_gpu = self.recipe.device == "cuda" or any(node.gpus for node in self.cluster.nodes)
            return "cuda" if on_gpu else "cpu"
        return resolve_device(self.recipe.device)

    @cached_property
    def source(self) -> Source | None:
        """Snapshots from elsewhere that have to be packed into the window of the run first; None
        for a training, and where they can be fitted as they are."""
        if isinstance(self.recipe, Recipe):
            return None
        window = self.recipe.window
        return source_to_pack(
            window.uri,
            self.connection,
            self.work / "source",
            step_pattern=window.step_pattern,
            allow_pickle=window.allow_pickle,
        )

    @cached_property
    def window_uri(self) -> str:
        """The window that is fitted, which may lie elsewhere."""
        if isinstance(self.recipe, Recipe) or self.source is not None:
            return f"{self.uri}/window"
        return self.recipe.window.uri

    @property
    def window_steps(self) -> tuple[int, ...]:
        """The steps that the window has or will have, ascending; before a training with
        `steps: auto` is over, all that it may have."""
        if not isinstance(self.recipe, Recipe):
            return self._given_steps
        if self.recipe.training.steps == "auto":
            manifest = read_window_manifest(self.store.child("window"))
            if manifest is not None and manifest.facts.complete:
                return manifest.steps
        return self.recipe.training.kept_steps

    @cached_property
    def _given_steps(self) -> tuple[int, ...]:
        """Of a window that is there already."""
        assert isinstance(self.recipe, WindowRecipe)
        if self.source is not None:
            return self.source.steps
        return open_window(self.window_uri, self.connection, self.base).steps

    @property
    def observed_steps(self) -> tuple[int, ...]:
        """Observed candidates, ascending: those of the recipe that the window has, and always its
        last step."""
        last = self.window_steps[-1]
        earlier = {step for step in self.recipe.evaluation.observed_steps if step < last}
        return (*sorted(earlier), last)

    @property
    def denoised_steps(self) -> tuple[int, ...]:
        """Denoised candidates that the window has, ascending."""
        last = self.window_steps[-1]
        return tuple(sorted(step for step in self.recipe.evaluation.denoised_steps if step <= last))

    @property
    def benchmark_names(self) -> list[str]:
        """What candidates are measured on: validation first, then test, then guard."""
        return [VALIDATION, *(benchmark.name for benchmark in self.recipe.problems.benchmarks)]

    @property
    def measured_problems(self) -> dict[str, list[Problem]]:
        """What candidates are measured on by name; greedily too, unless all answers are greedy."""
        found = {name: self.problems[name] for name in self.benchmark_names}
        is_sampled = self.recipe.exam(VALIDATION).sampling.temperature > 0
        return found | ({GREEDY: found[VALIDATION]} if is_sampled else {})

    @cached_property
    def problems(self) -> dict[str, list[Problem]]:
        """All problems by use: train, validation, and each benchmark by name."""
        return {
            name: load_problems(source, self.say)
            for name, source in self.recipe.problems.sources.items()
        }

    @cached_property
    def store(self) -> Store:
        return open_store(self.uri, self.connection)

    @property
    def base_address(self) -> str:
        """By which another machine finds the base."""
        base = self.recipe.base
        is_named = base.revision == "main" or Path(base.path).is_dir()
        return base.path if is_named else f"{base.path}@{base.revision}"

    @cached_property
    def before(self) -> Store | None:
        """What the round before this one keeps; None of the first."""
        before = self.recipe.before if isinstance(self.recipe, Recipe) else None
        return None if before is None else open_store(self._uri_of(before), self.connection)

    @cached_property
    def base_folder(self) -> Path:
        """Of a later round, a copy of the model that the one before chose.

        Raises CheckpointError when there is no base, StorageError when that model is not there.
        """
        if self.before is not None:
            folder = self.work / "base"
            if read_manifest(FolderStore(folder), MODEL_KIND) is None:
                fetch_folder(self.before.child("model"), folder, MODEL_KIND)
            return folder
        base = self.recipe.base
        return locate_base(base.path, base.revision, base.trust_remote_code)

    @cached_property
    def base(self) -> Checkpoint:
        return Checkpoint(self.base_folder)

    @cached_property
    def model(self) -> Model:
        """The base in numbers, from its config."""
        trusted = self.recipe.base.trust_remote_code
        return read_model(str(self.base_folder), trust_remote_code=trusted)

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
            return choose_dtype(self.base, self.device)
        return parse_dtype(self.store.get(DTYPE_FILE).decode(), f"{self.uri}/{DTYPE_FILE}")

    def weights(self, factors: Path) -> WeightSource:
        """Where the weights of every candidate come from."""
        return WeightSource(
            base=str(self.base_folder),
            window=self.window_uri,
            connection=self.connection,
            factors=str(factors),
        )

    def keep(self) -> None:
        """The recipe and the dtype stand beside all that is made."""
        self.store.put(RECIPE_FILE, dump_recipe(self.recipe).encode())
        self.store.put(DTYPE_FILE, self.dtype.encode())

    @property
    def report_folder(self) -> Path:
        """The local copy of the report."""
        return self.home.root / "reports" / self.recipe.run_id

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by stage over all attempts, in the order in which they ran."""
        if self.store.size(SECONDS_FILE) is None:
            return {}
        recorded: dict[str, float] = json.loads(self.store.get(SECONDS_FILE))
        return recorded

    def add_seconds(self, stage: str, seconds: float) -> None:
        """One more attempt at a stage has ended, well or not."""
        recorded = self.seconds
        recorded[stage] = recorded.get(stage, 0.0) + seconds
        self.store.put(SECONDS_FILE, json.dumps(recorded).encode())


@contextmanager
def open_run(
    recipe: AnyRecipe,
    listeners: Sequence[Listener] = (),
    *,
    served: bool = False,
    goes_on: bool = False,
) -> Iterator[Run]:
    """The places of `recipe`'s run, which is ours alone for as long as the block; whether another
    round `goes_on` from it.

    Embedded storage is a folder of the home. When it is to be `served`, the run sees it through an
    S3 server, so that its addresses are those that a registry takes; the server ends with the
    block. Raises ClaimError when another process works on the run.
    """
    home, run_id = make_home(), recipe.run_id
    with ExitStack() as stack:
        stack.enter_context(claimed_here(home.lock(run_id), run_id))
        if recipe.storage.uri != "embedded":
            connection = recipe.storage.connection
            run = Run(recipe, home, recipe.storage.uri, connection, listeners)
            check_writable(run.root_uri, run.connection)
            stack.enter_context(claimed_in(run.store, this_place(home.root), run_id))
        elif served:
            connection = stack.enter_context(embedded_s3(home.s3, EMBEDDED_BUCKET))
            run = Run(recipe, home, f"s3://{EMBEDDED_BUCKET}", connection, listeners)
        else:
            bucket = home.s3 / EMBEDDED_BUCKET
            bucket.mkdir(parents=True, exist_ok=True)
            run = Run(recipe, home, str(bucket), S3Connection(), listeners)
        run.goes_on = goes_on
        stack.callback(run.close)
        yield run
