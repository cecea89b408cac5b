"""What a Ray cluster of this machine costs: a node's start, a child's, an engine's, and an item's.

The same work is timed in a child of this machine. Nodes here share its cores, so the figures are
overheads, not speeds.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from transformers import AutoTokenizer

from relex.candidates import BASE
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.children import AnyChild, Start, start_here
from relex.cluster import Slot, open_cluster
from relex.config import load_recipe
from relex.evaluation import choose_dtype
from relex.evaluation.draws import build_draws
from relex.evaluation.engine import EngineConfig
from relex.evaluation.engine_pool import EnginePool
from relex.evaluation.weight_source import WeightSource
from relex.evaluation.work import Work
from relex.problems import Problem
from tests.ray_nodes import ROOT, RayNodes

NUM_MESSAGES = 200
FILE_BYTES = 20_000_000
SLOT = Slot(cpus=1, gpus=0)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="relex", dir="/tmp") as folder:
        nodes = RayNodes(Path(folder))
        try:
            show("start of the head", timed(lambda: nodes.add(1)))
            show("start of one more node", timed(lambda: nodes.add(1)))
            started = time.perf_counter()
            with open_cluster(nodes.address, lambda line: None) as cluster:
                show("connection: the driver's start", time.perf_counter() - started)

                def start(module, arguments, on_log, env={}, folder=None) -> AnyChild:  # type: ignore  # noqa
                    return cluster.start(SLOT, module, arguments, on_log, env, folder)

                for where, begin in (("here", start_here), ("on a node", start)):
                    measure(where, begin, Path(folder))
        finally:
            nodes.stop()


def measure(where: str, start: Start, folder: Path) -> None:
    exchange = folder / "exchange"
    exchange.mkdir(exist_ok=True)
    started = time.perf_counter()
    arguments = [str(exchange)]
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'relex' / 'cluster'}"}
    with start("node_child", arguments, print, env, exchange) as child:
        child.receive()
        show(f"{where}: start of a child", time.perf_counter() - started)

        def ask() -> None:
            child.send(do="echo", text="")
            child.receive()

        seconds = timed(lambda: [ask() for _ in range(NUM_MESSAGES)]) / NUM_MESSAGES
        show(f"{where}: a message and its answer", seconds)
        (exchange / "question").write_bytes(bytes(FILE_BYTES))

        def copy() -> None:
            child.send(do="copy")
            child.receive()

        show(f"{where}: with files of {FILE_BYTES / 1e6:.0f} MB both ways", timed(copy))
    measure_engine(where, start, folder)


def measure_engine(where: str, start: Start, folder: Path) -> None:
    recipe = load_recipe(ROOT / "deployments" / "recipes" / "toy.yaml")
    config = EngineConfig(
        source=WeightSource(base=str(TOY_BASE)),
        evaluation=recipe.evaluation,
        dtype=choose_dtype(Checkpoint(TOY_BASE), "cpu"),
        device="cpu",
    )
    problems = [Problem(f"{a}+{b}=", str(a + b)) for a in range(16) for b in range(16)]
    draws = build_draws(problems, recipe, AutoTokenizer.from_pretrained(TOY_BASE))
    requests = [draw.request for draw in draws][:512]
    sampling = recipe.exam("validation").sampling
    pool = EnginePool(
        config, requests[:16], folder / "engines", lambda: [{}], lambda line: None, start
    )

    def ask(num_requests: int) -> None:
        pool.generate(Work(BASE, requests[:num_requests], sampling))

    try:
        show(f"{where}: start of an engine, and one answer", timed(lambda: ask(1)))
        seconds = min(timed(lambda: ask(len(requests))) for _ in range(3))
        show(f"{where}: an item of {len(requests)} answers, best of 3", seconds)
    finally:
        pool.close()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def show(what: str, seconds: float) -> None:
    print(f"{what:60} {seconds * 1000:10,.1f} ms", flush=True)


if __name__ == "__main__":
    main()
