"""A run on a cluster gives the bytes of a run without one, also when nodes die in the middle."""

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

from relex.candidates import BASE
from relex.checkpoints import TOY_BASE, Checkpoint
from relex.cluster import Slot, open_cluster
from relex.config import load_recipe
from relex.evaluation import choose_dtype, work
from relex.evaluation.draws import build_draws
from relex.evaluation.engine import Completion, EngineConfig
from relex.evaluation.engine_pool import EnginePool
from relex.evaluation.engine_process import WORKER
from relex.evaluation.weight_source import WeightSource
from relex.problems import load_problems
from relex.run.nodes import PART_WORKER
from relex.storage.embedded import free_port
from relex.storage.s3 import open_client
from relex.training import TrainingJob
from tests.ray_nodes import RayNodes

pytestmark = pytest.mark.slow

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "base": {"path": "toy"},
    "device": "cpu",
    "problems": {
        "train": {"kind": "toy", "split": "train"},
        "validation": {"kind": "toy", "split": "validation", "limit": 40},
        "test": [{"name": "toy", "source": {"kind": "toy", "split": "test", "limit": 40}}],
    },
    "rewards": [{"reward": "exact_match"}],
    "training": {
        "steps": 6,
        "learning_rate": 1e-4,
        "prompts_per_step": 16,
        "completions_per_prompt": 4,
        "completions_per_device_batch": 16,
        "gradient_checkpointing": False,
        "max_completion_tokens": 8,
        "snapshot_dtype": "rounded",
    },
    "extrapolation": {"targets": [80, 120]},
    "evaluation": {
        "grader": "exact_match",
        "samples_per_question": 2,
        "engine": "transformers",
        "max_completion_tokens": 8,
        "max_context_tokens": 64,
        "observed_steps": [4],
    },
}
TRAIN = """
import sys
from pathlib import Path
from relex.config import load_recipe
from relex.run.places import open_run
from relex.run.window import train

def show(event):
    print(repr(event), flush=True)

with open_run(load_recipe(Path(sys.argv[1])), [show]) as run:
    train(run)
"""
SAME = r"window/.*\.safetensors|(factors|model)/.*|scores/.*/answers\.jsonl|decision\.json"
PAGES = (
    *("api/jobs/", "api/v0/actors?detail=1", "api/v0/workers?detail=1", "logical/actors"),
    *("api/v0/tasks?detail=1", "api/v0/nodes?detail=1", "api/v0/runtime_envs?detail=1"),
    *("api/v0/placement_groups?detail=1", "nodes?view=summary", "api/cluster_status"),
)
"""Of Ray's dashboard: all that it says of what runs, where and how it was started."""

OnLine = Callable[[str], None]


@pytest.fixture(scope="module")
def keys(s3_server) -> dict[str, str]:
    """Keys of the S3 server, which processes get in their environment."""
    parser = ConfigParser()
    parser.read(s3_server[0].credentials_file)
    return {name.upper(): value for name, value in parser["default"].items()}


@pytest.fixture
def nodes(ray_folder: Path, keys: dict[str, str]) -> Iterator[RayNodes]:
    """Three nodes, which have the keys in their environment, with a dashboard."""
    started = RayNodes(ray_folder, **keys)
    started.dashboard_port = free_port()
    try:
        started.add(3)
        yield started
    finally:
        started.stop()


@pytest.fixture
def recipe_in(s3_server, tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe whose run is kept in a new bucket."""
    connection, served = s3_server

    def write(**training: object) -> tuple[Path, Path]:
        name = f"nodes-{len(list(served.iterdir()))}"
        open_client(connection).create_bucket(Bucket=name)
        storage = {"uri": f"s3://{name}", "endpoint_url": connection.endpoint_url}
        recipe = RECIPE | {"storage": storage, "training": RECIPE["training"] | training}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        return path, served / name / "runs"

    return write


def do(
    command: list[str], environment: dict[str, str], home: Path, on_line: OnLine = lambda line: None
) -> str:
    """Run a program of ours to its end, with the threads of a node; what it said."""
    process = subprocess.Popen(
        [sys.executable, *command],
        # Sums are rounded otherwise by another number of threads, and a node has one CPU.
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment, "RELEX_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    with process:
        for line in process.stdout:
            lines.append(line)
            on_line(line)
    assert process.returncode == 0, "".join(lines)
    return "".join(lines)


def kept(runs: Path) -> dict[str, bytes]:
    """What must be the same, by name: snapshots, factors, answers, decision and model."""
    (run,) = runs.iterdir()
    files = (path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file())
    chosen = (name for name in files if re.fullmatch(SAME, name))
    return {name: (run / name).read_bytes() for name in chosen}


def run_of(recipe: Path) -> list[str]:
    return ["-m", "flows.program", "run", str(recipe)]


def test_a_run_is_the_same_and_its_keys_stay_with_the_nodes(
    nodes: RayNodes, keys: dict[str, str], recipe_in, tmp_path: Path
) -> None:
    alone, here = recipe_in()
    shared, there = recipe_in()
    do(run_of(alone), keys, tmp_path / "here")
    cluster = {"RELEX_CLUSTER": nodes.address}
    said = do(run_of(shared), {**keys, **cluster}, tmp_path / "there")
    assert "3 nodes at 127.0.0.2" in said
    secrets, expected = list(keys.values()), kept(here)
    assert any(name.endswith("answers.jsonl") for name in expected) and "decision.json" in expected
    assert kept(there) == expected
    shown = {}
    for page in PAGES:
        address = f"http://127.0.0.1:{nodes.dashboard_port}/{page}"
        with urllib.request.urlopen(address) as answer:
            shown[page] = answer.read()
    # What our children are is there to be seen.
    assert sum(b"ChildOnNode" in content for content in shown.values()) >= 2
    for path in nodes.folder.rglob("*"):
        if path.is_file():
            shown[str(path)] = path.read_bytes()
    assert any(name.endswith(".log") and content for name, content in shown.items())
    leaks = [name for name, content in shown.items() if any(k.encode() in content for k in secrets)]
    assert leaks == []


def test_a_run_is_the_same_when_nodes_die_in_its_fit_and_its_evaluation(
    nodes: RayNodes, keys: dict[str, str], recipe_in, tmp_path: Path
) -> None:
    alone, here = recipe_in()
    shared, there = recipe_in()
    do(run_of(alone), keys, tmp_path / "here")
    # An engine is killed while it starts: a quiet machine is done soon after its first answers.
    victims = {"window of 6 snapshots": PART_WORKER, "starting the engine": WORKER}

    def kill(line: str) -> None:
        """The node that works on what follows."""
        for words, module in victims.items():
            if words in line:
                nodes.kill(nodes.host_of(module))

    environment = {**keys, "RELEX_CLUSTER": nodes.address}
    do(run_of(shared), environment, tmp_path / "there", kill)
    assert kept(there) == kept(here)
    logs = next(there.iterdir()) / "logs"
    assert "of the fit is begun again" in (logs / "fit.log").read_text()
    # Whether the death of an engine is noticed depends on whether it is needed again.


# So many steps that a node dies long before the last one; those of a sharded model take longer.
@pytest.mark.parametrize(("shard", "num_steps"), [(False, 60), (True, 30)])
def test_two_nodes_train_what_two_processes_train_also_when_one_dies(
    nodes: RayNodes,
    keys: dict[str, str],
    recipe_in,
    tmp_path: Path,
    shard: bool,
    num_steps: int,
) -> None:
    path, runs = recipe_in(num_nodes=2, steps=num_steps, shard=shard)
    recipe = load_recipe(path)
    job = TrainingJob(
        recipe=recipe,
        base=str(TOY_BASE),
        window=str(tmp_path / "window"),
        work=str(tmp_path / "work"),
    )
    job.file.parent.mkdir()
    job.file.write_text(job.model_dump_json())
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    do([*launcher, "-m", "relex.training.worker", str(job.file)], {}, tmp_path / "here")

    killed: list[int] = []

    def kill(line: str) -> None:
        """Once: it trains that step again."""
        if not killed and "StepTrained" in line and "step=12," in line:
            killed.append(nodes.host_of("relex.training.worker"))
            nodes.kill(killed[0])

    environment = {**keys, "RELEX_CLUSTER": nodes.address}
    said = do(["-c", TRAIN, str(path)], environment, tmp_path / "there", kill)
    assert "training goes on from its rolling checkpoint" in said
    assert "TrainingResumed" in said
    window = next(runs.iterdir()) / "window"
    expected = sorted((tmp_path / "window").rglob("*.safetensors"))
    assert len(expected) == num_steps
    for one in expected:
        other = window / one.relative_to(tmp_path / "window")
        assert other.read_bytes() == one.read_bytes()
    assert [key for key in window.parent.rglob("training/checkpoint-*/*") if key.is_file()] == []


def test_two_vllm_engines_on_two_nodes_answer_as_one_does(
    nodes: RayNodes, recipe_in, tmp_path: Path
) -> None:
    pytest.importorskip("vllm")
    recipe = load_recipe(recipe_in()[0])
    evaluation = recipe.evaluation.model_copy(update={"engine": "vllm"})
    config = EngineConfig(
        source=WeightSource(base=str(TOY_BASE)),
        evaluation=evaluation,
        dtype=choose_dtype(Checkpoint(TOY_BASE), "cpu"),
        device="cpu",
    )
    problems = load_problems(recipe.problems.validation)
    tokenizer = AutoTokenizer.from_pretrained(TOY_BASE)
    requests = [draw.request for draw in build_draws(problems, recipe, tokenizer)]
    sampling = recipe.exam("validation").sampling

    def answers(pool: EnginePool) -> list[Completion]:
        asked = work.Work(BASE, requests, sampling)
        try:
            pool.generate(asked)
            return asked.completions
        finally:
            pool.close()

    with pytest.MonkeyPatch.context() as patch, open_cluster(nodes.address, print) as cluster:
        patch.setattr(work, "BLOCK_REQUESTS", len(requests) // 2)

        def start(module, arguments, on_log, env={}, folder=None):  # noqa: B006
            return cluster.start(Slot(1, 0), module, arguments, on_log, env, folder)

        def pool(num: int, *more: object) -> EnginePool:
            folder = tmp_path / f"exchange-{num}"
            return EnginePool(config, requests[:16], folder, lambda: [{}] * num, print, *more)

        assert answers(pool(2, start)) == answers(pool(1))
