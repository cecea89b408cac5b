"""The form as people meet it: filled in with a real browser, on a real server, with a worker."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from relex.config import load_recipe
from tasks.form import PRESETS, recipe_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
START_SECONDS = 500.0
PAGE_MILLISECONDS = 60_000
PATIENT = {"timeout": PAGE_MILLISECONDS}
DEPLOY = f"""
from prefect import flow
deployed = flow.from_source({str(ROOT)!r}, "flows/pipeline.py:relex_pipeline")
print(deployed.deploy("form", work_pool_name="form", print_next_steps=False))
"""
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def environment(tmp_path_factory, build_environment) -> dict[str, str]:
    return build_environment(tmp_path_factory.mktemp("form"))


@pytest.fixture(scope="module")
def ask(prefect_settings) -> Ask:
    """One request to the server's API: the answer, as JSON."""

    def request(path: str, **body: Any) -> Any:
        sent = urllib.request.Request(
            f"{prefect_settings['PREFECT_API_URL']}/{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(sent) as answer:
            return json.load(answer)

    return request


@pytest.fixture(scope="module")
def deployment(environment, ask) -> str:
    """The id of the deployed pipeline, on a pool of its own."""
    ask("work_pools/", name="form", type="process")
    done = subprocess.run(
        [sys.executable, "-c", DEPLOY], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(ask("deployments/name/relex-pipeline/form")["id"])


@pytest.fixture
def form(browser: Browser, prefect_settings, deployment) -> Iterator[Page]:
    """The open form."""
    server = prefect_settings["PREFECT_API_URL"].removesuffix("/api")
    page = browser.new_page(viewport={"width": 1100, "height": 2700})
    page.set_default_timeout(PAGE_MILLISECONDS)
    page.goto(f"{server}/deployments/deployment/{deployment}/run")
    page.get_by_text("learning_rate (Optional)").wait_for()
    yield page
    page.close()


@pytest.fixture
def worker(environment, deployment, tmp_path) -> Iterator[psutil.Process]:
    """A process worker of the pool; it and all that it started are gone afterwards."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "form", "--limit", "1"]
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        root = psutil.Process(process.pid)
        try:
            yield root
        finally:
            tree = [root, *root.children(recursive=True)]
            process.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(tree, timeout=30)
            for member in alive:
                member.kill()
            process.wait()


def field(form: Page, name: str) -> Locator:
    """The part of the form that asks for `name`."""
    label = form.get_by_text(f"{name} (Optional)", exact=True)
    return form.locator(".schema-form-property").filter(has=label)


def choose_tab(part: Locator, title: str) -> None:
    part.get_by_role("button", name=title, exact=True).first.click()


def submit(form: Page) -> None:
    form.get_by_role("button", name="Submit").click()


def fill_learning_rate(form: Page, value: str) -> None:
    part = field(form, "learning_rate")
    choose_tab(part, "set here")
    part.locator("input[type=number]").fill(value)


def fill_reward(form: Page, reward: str) -> None:
    part = field(form, "rewards")
    choose_tab(part, "set here")
    part.get_by_role("button", name="Add item").click()
    # By the keyboard: a click opens the list on pressing and closes it on releasing.
    part.locator(".p-select-button__control").press("ArrowDown")
    form.locator(".p-select-option").filter(has_text=reward).click()


def wait_for_state(ask: Ask, flow_run: str, states: set[str]) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while (found := ask(f"flow_runs/{flow_run}"))["state_type"] not in states:
        assert time.monotonic() < deadline, found["state"]
        time.sleep(0.5)
    return found


def runs_of(ask: Ask, deployment: str) -> list[dict[str, Any]]:
    return list(ask("flow_runs/filter", deployments={"id": {"any_": [deployment]}}))


def test_a_wrong_value_is_refused_at_its_field(form, ask, deployment):
    fill_learning_rate(form, "5")
    submit(form)
    told = field(form, "learning_rate").locator(".p-message, .p-label__message")
    expect(told.first).to_contain_text("5 is not valid", **PATIENT)
    assert runs_of(ask, deployment) == []


def test_the_server_refuses_a_wrong_value_by_the_name_of_its_field(ask, deployment):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"deployments/{deployment}/create_flow_run", parameters={"learning_rate": 5})
    assert "'learning_rate'" in json.loads(refused.value.read())["detail"]


def test_what_is_filled_in_is_what_runs(form, ask, deployment, worker):
    wrong = ask(f"deployments/{deployment}/create_flow_run", parameters={"steps": 80})
    fill_learning_rate(form, "0.00002")
    fill_reward(form, "format")
    submit(form)
    form.get_by_text("scheduled to start").first.wait_for()
    (sent,) = [run for run in runs_of(ask, deployment) if run["id"] != wrong["id"]]
    assert sent["parameters"]["learning_rate"] == 2e-5
    assert [term["reward"] for term in sent["parameters"]["rewards"]] == ["format"]
    recipe = recipe_of(sent["parameters"])
    toy = load_recipe(PRESETS / "toy.yaml")
    assert recipe.training == toy.training.model_copy(update={"learning_rate": 2e-5})
    assert recipe.problems == toy.problems

    failed = wait_for_state(ask, wrong["id"], {"FAILED"})
    assert failed["state"]["message"] == (
        "form: extrapolation.targets: 60 is not beyond the window, which ends at step 80; choose "
        "targets above 80"
    )
    running = wait_for_state(ask, sent["id"], {"RUNNING"})
    assert running["name"] == recipe.run_id
    cancelling = {"type": "CANCELLING", "name": "Cancelling"}
    ask(f"flow_runs/{sent['id']}/set_state", state=cancelling)
    wait_for_state(ask, sent["id"], {"CANCELLED"})
