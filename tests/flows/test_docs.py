"""What the documentation tells a reader to type is run, page by page, in a place made for it.

A page's commands, Python and complete recipes become one shell script, in their order. What cannot
run here is left out for one of a few reasons; tests/test_docs.py reads all of it, run or not.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

import pytest
import yaml
from mlflow.tracking import MlflowClient
from prefect.client.orchestration import SyncPrefectClient

from relex.checkpoints import TOY_BASE
from relex.home import Home
from relex.storage.embedded import embedded_s3, free_port
from tasks.services import mlflow, prefect, prefect_environment, running
from tests.hub import hub_of
from tests.pages import PAGES, ROOT, Block, blocks
from tests.snapshots import write_toy_line

OWN_MODULE = re.compile(r"# (my_\w+\.py)\b")


class Needs(StrEnum):
    """Why a command is not run by any test."""

    INTERNET = "the Hub, or a package index"
    GPU = "a GPU"
    MACHINES = "a cluster, Docker, or another machine"
    HOURS = "hours"
    SERVER = "vLLM's own server, which stays until it is ended"


NOT_RUN = {
    "make demo RECIPE=my-run.yaml": Needs.HOURS,
    "relex recipe check deployments/recipes/qwen": Needs.INTERNET,
    "relex run deployments/recipes/qwen": Needs.GPU,
    "pip install": Needs.INTERNET,
    "export RAY_USAGE_STATS_ENABLED": Needs.MACHINES,
    "ray start": Needs.MACHINES,
    "export RELEX_CLUSTER": Needs.MACHINES,
    "relex cluster check recipe.yaml": Needs.MACHINES,
    "relex run recipe.yaml": Needs.MACHINES,
    "kubectl": Needs.MACHINES,
    "docker compose": Needs.MACHINES,
    "ssh": Needs.MACHINES,
    "export RELEX_S3_ENDPOINT": Needs.MACHINES,
    "prefect worker start": Needs.MACHINES,
    "python -m vllm": Needs.SERVER,
    "curl": Needs.SERVER,
}
"""By how a command begins; the longest beginning counts."""

WALK = "deployments/test_walk.py::test_a_newcomer_gets_from_make_up_to_the_champion"
RUN_ELSEWHERE = {
    "make demo": "flows/test_toy.py::test_the_end_of_the_output_tells_what_was_chosen",
    "make test": "flows/test_docs.py::test_a_page_does_what_it_says",
    "make up": WALK,
    "make down": WALK,
    "relex sweep": "flows/sweeps/test_sweep.py::test_the_good_reward_wins",
    "relex cluster check": "relex/cluster/test_cluster.py::test_the_command_shows_the_nodes",
    "python -m deployments.apply --pool-type": "deployments/test_apply.py::test_a_server_takes",
}
"""Where a test runs it: its file, and how its name begins."""


def left_out(command: str) -> str | None:
    """Why it does not run here."""
    bare = command.removeprefix(".venv/bin/")
    reasons = {**NOT_RUN, **RUN_ELSEWHERE}
    found = [beginning for beginning in reasons if bare.startswith(beginning)]
    return reasons[max(found, key=len)] if found else None


def script(page: Path) -> str:
    """What a reader of the page does, as a shell script; empty where there is nothing to do."""
    return "".join(map(_steps, blocks("sh", "python", "yaml", page=page)))


def _steps(block: Block) -> str:
    name = f"snippet-{block.line}"
    if block.language == "sh":
        return "".join(f"{command}\n" for command in block.commands if not left_out(command))
    if block.language == "python" and (module := OWN_MODULE.match(block.text)):
        return _written(module[1], block.text)
    if block.language == "python":
        return _written(f"{name}.py", block.text) + f"python {name}.py\n"
    stated = yaml.safe_load(block.text)
    if not {"name", "base", "problems"} <= stated.keys():
        return ""
    recipe = f"{stated['name']}.yaml"
    return _written(recipe, block.text) + f"relex recipe check {recipe}\n"


def _written(name: str, text: str) -> str:
    return f"cat > {name} <<'END'\n{text}END\n"


RUNS = re.compile(r"^(?:\.venv/bin/)?(?:relex|python|prefect) ", re.MULTILINE)
WALKED = [page for page in PAGES if RUNS.search(script(page))]


@pytest.fixture
def place(tmp_path: Path, whole_run: Path, small_recipe_file: Path) -> Path:
    """A clone in which `make demo` was run, with what a reader of the pages has beside it."""
    for path in ROOT.iterdir():
        if path.name not in ("deployments", "tests") and not path.name.startswith("."):
            (tmp_path / path.name).symlink_to(path)
    # A page copies a file into it.
    shutil.copytree(ROOT / "deployments", tmp_path / "deployments")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copytree(whole_run, tmp_path / ".relex")
    shutil.copy(small_recipe_file, tmp_path / "RECIPE")
    (tmp_path / "BASE").symlink_to(TOY_BASE)
    for folder in ("window", "checkpoints/gsm8k/qwen"):
        write_toy_line(tmp_path / folder)
    write_toy_line(tmp_path / "CHECKPOINTS", steps=(25, 50, 75))
    for a, name in enumerate(("train", "validation", "test")):
        lines = [f'{{"question": "{a}+{b}=", "answer": "{a + b}"}}\n' for b in range(9)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "parameters.json").write_text('{"preset": "toy-small"}')
    return tmp_path


@contextmanager
def stand_ins(told: str, place: Path) -> Iterator[dict[str, str]]:
    """For what a page names, what there is here; servers run for the block."""
    home = Home(place / ".relex")
    found = {
        "NAME": "name",
        "/data/run-7/checkpoints": "CHECKPOINTS",
        # TRL trains in bfloat16 unless it is told that there is no GPU.
        "1e-5, report_to": "1e-5, use_cpu=True, report_to",
    }
    with ExitStack() as servers:
        if "mlflow" in told:
            server = servers.enter_context(running(mlflow(home, free_port()), home))
            found |= {"http://127.0.0.1:5000": server, "http://mlflow:5000": server}
            s3 = servers.enter_context(embedded_s3(home.s3, "relex"))
            found["http://127.0.0.1:9000"] = s3.endpoint_url
        if "prefect " in told or "deployments.apply" in told:
            port = free_port()
            found["http://127.0.0.1:4200"] = servers.enter_context(
                running(prefect(home, port), home)
            )
            found |= made_in_prefect(place, prefect_environment(home, port))
        yield found


def made_in_prefect(place: Path, environment: dict[str, str]) -> dict[str, str]:
    """The deployments, and a run that waits for a worker."""
    apply = [sys.executable, "-m", "deployments.apply"]
    subprocess.run(apply, cwd=place, env={**os.environ, **environment}, check=True)
    with SyncPrefectClient(environment["PREFECT_API_URL"]) as client:
        pipeline = client.read_deployment_by_name("relex-pipeline/relex-pipeline")
        run = client.create_flow_run_from_deployment(pipeline.id)
        (nightly,) = client.read_deployment_by_name("reward-sweep/reward-sweep").schedules
    api = environment["PREFECT_API_URL"]
    return {"FLOW_RUN_ID": str(run.id), "SCHEDULE_ID": str(nightly.id), "PREFECT_API_URL": api}


@pytest.fixture
def environment(place: Path) -> Iterator[dict[str, str]]:
    """Of a shell there: the toy stands for every base of the Hub, and there are two buckets."""
    for name in ("Qwen2.5-0.5B", "Qwen2.5-1.5B"):
        branch = place / "hub/models/Qwen" / name / "main"
        shutil.copytree(TOY_BASE, branch)
        config = json.loads((branch / "config.json").read_text())
        longer = config | {"max_position_embeddings": 4096}
        (branch / "config.json").write_text(json.dumps(longer))
    (place / "elsewhere/my-bucket").mkdir(parents=True)
    with hub_of(place / "hub") as hub, embedded_s3(place / "elsewhere", "bucket") as s3:
        yield {
            **hub.variables(place / "hf"),
            "RELEX_HOME": str(place / ".relex"),
            "PYTHONPATH": str(place),
            "PATH": f"{place}/.venv/bin:{os.environ['PATH']}",
            "CUDA_VISIBLE_DEVICES": "",
            "AWS_ENDPOINT_URL": s3.endpoint_url,
            "AWS_SHARED_CREDENTIALS_FILE": str(s3.credentials_file),
        }


@pytest.mark.slow
@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, place: Path, environment: dict[str, str]) -> None:
    steps = script(page)
    with stand_ins(steps, place) as found:
        if "PREFECT_API_URL" in found:
            environment["PREFECT_API_URL"] = found.pop("PREFECT_API_URL")
        for name, here in found.items():
            steps = re.sub(rf"(?<![\w/]){re.escape(name)}\b", here, steps)
        shell = subprocess.run(
            ["bash", "-eux"],
            input=steps,
            cwd=place,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    assert shell.returncode == 0, shell.stdout


@pytest.mark.slow
def test_the_filters_for_mlflow_are_taken_and_find_what_they_say(whole_run: Path) -> None:
    client = MlflowClient(f"sqlite:///{whole_run / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("relex").experiment_id
    (block,) = blocks("sql")
    filters = [re.split(r" {3,}", line)[0] for line in block.text.splitlines()]
    found = {each: client.search_runs([experiment], each) for each in filters}
    assert len(found) == 9
    candidates = [each for each in filters if "candidate" in each or "num_questions" in each]
    for each in (filters[0], *candidates):
        assert found[each], each


@pytest.mark.parametrize("test", sorted(set(RUN_ELSEWHERE.values())))
def test_what_another_test_runs_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}" in (ROOT / "tests" / file).read_text()


def test_nothing_is_left_out_that_no_page_tells() -> None:
    told = [command for block in blocks("sh") for command in block.commands]
    bare = [command.removeprefix(".venv/bin/") for command in told]
    for beginning in (*NOT_RUN, *RUN_ELSEWHERE):
        assert any(command.startswith(beginning) for command in bare), beginning
