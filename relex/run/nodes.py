"""The work of a run on the nodes of a cluster: what one machine would do, with the same results."""

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from relex.card import MODEL_KIND
from relex.checkpoints import Checkpoint
from relex.child_output import LogLine
from relex.children import AnyChild
from relex.cluster import Cluster, Found, Node, Slot, Wanted, check_cluster
from relex.config import Recipe, WindowRecipe
from relex.errors import LimitError, LostError, ResourceError, StageError
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.workplace import Here, Workplace
from relex.extrapolation import KIND as FACTORS_KIND
from relex.extrapolation import Factors, fit_inputs, merge_factors
from relex.extrapolation.part_worker import PartJob
from relex.run.places import Run
from relex.storage.manifest import fetch_folder, finished_manifest, publish_folder, remove_folder
from relex.training import TrainingEvent, TrainingJob, run_training
from relex.window import Window

MOST_LOSSES = 3
"""So many processes may be lost of one piece of work, with their nodes or without."""

POLL_SECONDS = 0.05
PATIENCE_SECONDS = 120.0
"""How long an engine beside others waits for a place on the cluster."""

PART_WORKER, TRAINING = "relex.extrapolation.part_worker", "relex.training.node"


def wanted_by(run: Run) -> Wanted:
    """What the run asks of every node."""
    is_elsewhere = isinstance(run.recipe, WindowRecipe) and run.source is None
    return Wanted(
        storage=run.root_uri,
        connection=run.connection,
        recipe=run.recipe,
        window=run.window_uri if is_elsewhere else "",
    )


class EnginesOnNodes:
    """A `Workplace`: one engine for each group of GPUs of the cluster, on the CPU one a node."""

    def __init__(self, run: Run, cluster: Cluster) -> None:
        self._run, self._cluster = run, cluster
        self._gpus = run.recipe.evaluation.tensor_parallel_size if run.device == "cuda" else 0
        self._is_first = True

    def places(self) -> Sequence[Mapping[str, str]]:
        return [{}] * self._cluster.slots(self._gpus)[1]

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        on_log: LogLine,
        env: Mapping[str, str] = {},
        folder: Path | None = None,
    ) -> AnyChild:
        slot = self._cluster.slots(self._gpus)[0]
        if not self._is_first:
            slot = replace(slot, patience_seconds=PATIENCE_SECONDS)
        self._is_first = False
        return self._cluster.start(slot, module, arguments, on_log, env, folder)

    def source(self, source: WeightSource) -> WeightSource:
        addresses = {"base": self._run.base_address, "factors": f"{self._run.uri}/factors"}
        return source.model_copy(update={**addresses, "base_digest": self._run.base_digest})

    @contextmanager
    def checkpoint(self, folder: Path) -> Iterator[WeightSource]:
        store = self._run.store.child("cold")
        publish_folder(store, folder, MODEL_KIND, {})
        digest, connection = Checkpoint(folder).digest(), self._run.connection
        try:
            yield WeightSource(base=store.uri, base_digest=digest, connection=connection)
        finally:
            remove_folder(store, MODEL_KIND)


def engines_of(run: Run) -> Workplace:
    """Where the engines of a run work."""
    if run.cluster is not None:
        return EnginesOnNodes(run, run.cluster)
    return Here(run.device, run.recipe.evaluation)


def fit_on_nodes(
    run: Run,
    cluster: Cluster,
    window: Window,
    methods: tuple[str, ...],
    on_progress: Callable[[int, int], None],
) -> Factors:
    """The factors of a fit in as many parts as the cluster has slots, in the work of the run.

    What was published of it before is not fitted again. Raises the error of a part, and StageError
    naming the part that was lost too often.
    """
    slot, num_parts = cluster.slots(1 if run.device == "cuda" else 0)
    parts = [(number, num_parts) for number in range(1, num_parts + 1)]
    stores = {part: run.store.child(f"parts/{part[0]}-of-{part[1]}") for part in parts}
    inputs = {
        part: fit_inputs(window, run.base, window.steps, methods=methods, part=part)
        for part in parts
    }

    def begin(part: tuple[int, int]) -> AnyChild:
        job = PartJob(
            window=run.window_uri,
            connection=run.connection,
            base=run.base_address,
            base_digest=run.base_digest,
            out=stores[part].uri,
            methods=methods,
            part=part,
            memory_bytes=run.recipe.extrapolation.memory_bytes,
            device=run.device,
        )
        child = cluster.start(slot, PART_WORKER, [], run.detail)
        child.send(**job.model_dump(mode="json"))
        return child

    missing = [
        part
        for part in parts
        if finished_manifest(stores[part], FACTORS_KIND, inputs[part]) is None
    ]
    _do_all(missing, num_parts, begin, on_progress, run.detail)
    folders = [run.work / "parts" / str(number) for number, _ in parts]
    shutil.rmtree(run.work / "parts", ignore_errors=True)
    for part, folder in zip(parts, folders, strict=True):
        if finished_manifest(stores[part], FACTORS_KIND, inputs[part]) is None:
            raise StageError(
                f"part {part[0]} of {part[1]} of the fit: a node fitted another window than there "
                f"is here under {run.window_uri}; put the same on every node, or on S3"
            )
        fetch_folder(stores[part], folder, FACTORS_KIND)
    return merge_factors(folders, run.work / "factors")


def remove_parts(run: Run) -> None:
    """Once the whole is published."""
    shutil.rmtree(run.work / "parts", ignore_errors=True)
    store = run.store.child("parts")
    for key in store.list():
        store.delete(key)


def _do_all(
    parts: Sequence[tuple[int, int]],
    num_slots: int,
    begin: Callable[[tuple[int, int]], AnyChild],
    on_progress: Callable[[int, int], None],
    on_log: LogLine,
) -> None:
    """Let each part be fitted; one whose node dies is begun again on another."""
    waiting, num_lost = deque(parts), dict.fromkeys(parts, 0)
    done: dict[tuple[int, int], float] = dict.fromkeys(parts, 0.0)
    running: dict[tuple[int, int], AnyChild] = {}
    with ExitStack() as stack:
        while waiting or running:
            while waiting and len(running) < num_slots:
                part = waiting.popleft()
                running[part] = stack.enter_context(begin(part))
            for part, child in list(running.items()):
                try:
                    for event in child.events(POLL_SECONDS / len(running)):
                        done[part] = event["num_done"] / event["num_total"]
                        on_progress(int(1000 * sum(done.values())), 1000 * len(parts))
                    del running[part]
                except TimeoutError:
                    continue
                except LimitError:
                    raise
                except StageError as error:
                    del running[part]
                    num_lost[part] += 1
                    if num_lost[part] == MOST_LOSSES:
                        raise StageError(
                            f"part {part[0]} of {part[1]} of the fit has ended {MOST_LOSSES} "
                            f"processes; the last: {error}"
                        ) from error
                    on_log(f"{error}\npart {part[0]} of {part[1]} of the fit is begun again")
                    waiting.append(part)


def train_on_nodes(
    run: Run, recipe: Recipe, cluster: Cluster, on_event: Callable[[TrainingEvent], None]
) -> None:
    """As `run_training`, on `training.num_nodes` nodes; when one is lost, from the rolling
    checkpoint on others."""
    slot = training_slot(recipe, cluster, on_gpu=run.device == "cuda")
    job = TrainingJob(
        recipe=recipe,
        base=run.base_address,
        base_digest=run.base_digest,
        window=run.store.child("window").uri,
        connection=run.connection,
        shared=run.store.child("training").uri,
    )

    def begin(job: TrainingJob, on_log: LogLine) -> AnyChild:
        child = cluster.start(slot, TRAINING, [], on_log)
        child.send(**job.model_dump(mode="json"))
        return child

    for num_lost in range(1, MOST_LOSSES + 1):
        try:
            return run_training(job, on_event, run.detail, begin)
        except LostError as error:
            if num_lost == MOST_LOSSES:
                raise
            run.warn(f"{error}; training goes on from its rolling checkpoint")


def training_slot(recipe: Recipe, cluster: Cluster, *, on_gpu: bool) -> Slot:
    """What training takes of the cluster. Raises ResourceError where it has fewer nodes."""
    config = recipe.training
    slot, _ = cluster.slots(config.num_gpus if on_gpu else 0)
    having = [node for node in cluster.nodes if node.can_give(slot.gpus)]
    if len(having) < config.num_nodes:
        raise ResourceError(
            f"training.num_nodes: {config.num_nodes}, but the cluster at {cluster.address} has "
            f"{len(having)} node(s) with {slot.gpus} GPUs; lower it, or add nodes"
        )
    return replace(slot, num_nodes=config.num_nodes)


def may_train(run: Run, node: Node) -> bool:
    """Whether training may be on that node."""
    recipe, on_gpu = run.recipe, run.device == "cuda"
    return isinstance(recipe, Recipe) and node.can_give(recipe.training.num_gpus if on_gpu else 0)


def may_answer(run: Run, node: Node) -> bool:
    """Whether an engine may be on that node."""
    on_gpu = run.device == "cuda"
    return node.can_give(run.recipe.evaluation.tensor_parallel_size if on_gpu else 0)


def check_nodes(run: Run, cluster: Cluster) -> dict[Node, Found]:
    """What each node has.

    Raises ResourceError unless the cluster has what the run needs, and the same of it on every node
    as on this machine.
    """
    if isinstance(run.recipe, Recipe):
        training_slot(run.recipe, cluster, on_gpu=run.device == "cuda")
    nodes = check_cluster(cluster, wanted_by(run), run.detail, partial(may_train, run))
    run.say(f"cluster    {len(nodes)} nodes at {cluster.address}")
    return nodes
