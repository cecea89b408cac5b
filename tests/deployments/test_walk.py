"""A newcomer's walk through the README: up, a form, two runs, their comparison, the champion."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from mlflow.tracking import MlflowClient
from playwright.sync_api import Page
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from transformers import AutoModelForCausalLM

from relex.home import Home
from relex.storage.embedded import free_port
from tasks.background import Background
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
# The toy, small: it is the way that is walked here, not where it leads.
SMALL: dict[str, Any] = {
    "training": {"prompts_per_step": 16, "completions_per_prompt": 8},
    "problems": {
        "validation": {"kind": "toy", "split": "validation", "limit": 20},
        "test": [{"name": "toy", "source": {"kind": "toy", "split": "test", "limit": 20}}],
    },
    "evaluation": {"engine": "transformers", "samples_per_question": 4},
}
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("walk") / "home")


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {server: free_port() for server in ("prefect", "mlflow", "s3")}


@pytest.fixture(scope="module")
def command(home, ports) -> Iterator[Command]:
    """`python -m ARGUMENTS` in the clone, as the README has it."""
    own = {f"RELEX_{server.upper()}_PORT": str(port) for server, port in ports.items()}
    own |= {"RELEX_HOME": str(home.root), "CUDA_VISIBLE_DEVICES": ""}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    yield run
    Background(home).stop()


@pytest.fixture
def page(open_page) -> Page:
    return open_page(viewport={"width": 1400, "height": 1000})


def test_a_newcomer_gets_from_make_up_to_the_champion(command, home, ports, page, tmp_path):
    told = command("flows.program", "up").stdout
    prefect, mlflow = (f"http://127.0.0.1:{ports[name]}" for name in ("prefect", "mlflow"))
    assert prefect in told
    assert mlflow in told

    page.goto(f"{prefect}/deployments")
    for name in ("relex-pipeline", "relex-extrapolate", "reward-sweep"):
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    with SyncPrefectClient(f"{prefect}/api") as client:
        pipeline = client.read_deployment_by_name("relex-pipeline/relex-pipeline").id
        page.goto(f"{prefect}/deployments/deployment/{pipeline}/run")
        page.get_by_text("learning_rate (Optional)").wait_for()
        runs = [start(client, pipeline, rate) for rate in (1e-5, 1e-4)]
        ended = [wait_until_ended(client, run) for run in runs]
    assert [run.state_name for run in ended] == ["Completed", "Completed"], ended

    experiment = MlflowClient(mlflow).get_experiment_by_name("relex").experiment_id
    page.goto(f"{mlflow}/#/experiments/{experiment}/runs?compareRunsMode=CHART")
    for rate in ("1e-5", "1e-4"):
        page.get_by_text(f"exact_match lr {rate} seed 0 (toy)").first.wait_for(state="attached")
    page.get_by_text("accuracy/extrapolated").first.wait_for()
    page.screenshot(path=tmp_path / "compared.png")

    command("flows.program", "fetch", "models:/toy@champion", "--out", str(tmp_path / "champion"))
    AutoModelForCausalLM.from_pretrained(tmp_path / "champion")
    command("flows.program", "down")


def start(client: SyncPrefectClient, deployment: UUID, learning_rate: float) -> FlowRun:
    parameters = {
        "learning_rate": learning_rate,
        "steps": 4,
        "targets": [6, 8],
        "observed_steps": [2],
        "overrides": SMALL,
    }
    return client.create_flow_run_from_deployment(deployment, parameters=parameters)


def wait_until_ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    wait_until(lambda: client.read_flow_run(run.id).state.is_final(), f"{run.name} does not end")
    return client.read_flow_run(run.id)
