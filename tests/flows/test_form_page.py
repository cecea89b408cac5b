"""The form as people meet it: filled in with a real browser, on a real server, with a worker."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from deployments.apply import read_registry
from relex.config import SweepConfig, load_recipe
from tasks.form import PRESETS, recipe_of
from tests.processes import kill
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
(SHIPPED_SWEEP,) = (
    entry for entry in read_registry()["deployments"] if entry["name"] == "reward-sweep"
)
DEPLOY = f"""
from prefect import flow
for entrypoint, parameters in (
    ("flows/pipeline.py:relex_pipeline", {{}}),
    ("flows/sweep.py:reward_sweep", {SHIPPED_SWEEP["parameters"]}),
):
    deployed = flow.from_source({str(ROOT)!r}, entrypoint)
    deployed.deploy("form", work_pool_name="form", parameters=parameters, print_next_steps=False)
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
def deployed(environment, ask) -> dict[str, str]:
    """The ids of the deployments by the names of their flows, on a pool of their own."""
    ask("work_pools/", name="form", type="process")
    done = subprocess.run(
        [sys.executable, "-c", DEPLOY], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    flows = ("relex-pipeline", "reward-sweep")
    return {flow: str(ask(f"deployments/name/{flow}/form")["id"]) for flow in flows}


@pytest.fixture(scope="module")
def deployment(deployed) -> str:
    """The id of the deployed pipeline."""
    return deployed["relex-pipeline"]


@pytest.fixture
def page(open_page) -> Page:
    return open_page(viewport={"width": 1100, "height": 2700})


@pytest.fixture
def pages(prefect_settings) -> str:
    """The address of the server's pages."""
    return prefect_settings["PREFECT_API_URL"].removesuffix("/api")


@pytest.fixture
def form(page, pages, deployment) -> Page:
    """The open form of the pipeline."""
    page.goto(f"{pages}/deployments/deployment/{deployment}/run")
    page.get_by_text("learning_rate (Optional)").wait_for()
    return page


@pytest.fixture
def sweep_form(page, pages, deployed) -> Page:
    """The open form of a sweep."""
    page.goto(f"{pages}/deployments/deployment/{deployed['reward-sweep']}/run")
    page.get_by_text("learning_rates (Optional)").wait_for()
    return page


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
            kill(root)
            process.wait()


def field(form: Page, name: str) -> Locator:
    """The part of the form that asks for `name`."""
    label = form.get_by_text(f"{name} (Optional)", exact=True)
    return form.locator(".schema-form-property").filter(has=label)


def choose_tab(part: Locator, title: str) -> None:
    part.get_by_role("button", name=title, exact=True).first.click()


def submit(form: Page) -> None:
    form.get_by_role("button", name="Submit").click()


def send(form: Page) -> dict[str, Any]:
    """Submit, and the flow run that comes of it."""
    with form.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as told:
        submit(form)
    form.get_by_text("scheduled to start").first.wait_for()
    return dict(told.value.json())


def fill_learning_rate(form: Page, value: str) -> None:
    part = field(form, "learning_rate")
    choose_tab(part, "set here")
    part.locator("input[type=number]").fill(value)


def fill_reward(form: Page, reward: str) -> None:
    part = field(form, "rewards")
    choose_tab(part, "set here")
    part.get_by_role("button", name="Add item").click()
    part.locator("textarea").first.fill(reward)


def wait_for_state(ask: Ask, flow_run: str, states: set[str]) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        return dict(ask(f"flow_runs/{flow_run}"))

    wait_until(lambda: found()["state_type"] in states, f"{flow_run} does not become {states}")
    return found()


def runs_of(ask: Ask, deployment: str) -> list[dict[str, Any]]:
    return list(ask("flow_runs/filter", deployments={"id": {"any_": [deployment]}}))


def test_a_wrong_value_is_refused_at_its_field(form, ask, deployment):
    fill_learning_rate(form, "5")
    submit(form)
    told = field(form, "learning_rate").locator(".p-message, .p-label__message")
    expect(told.first).to_contain_text("5 is not valid")
    assert runs_of(ask, deployment) == []


def test_the_server_refuses_a_wrong_value_by_the_name_of_its_field(ask, deployment):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"deployments/{deployment}/create_flow_run", parameters={"learning_rate": 5})
    assert "'learning_rate'" in json.loads(refused.value.read())["detail"]


def test_what_is_filled_in_is_what_runs(form, ask, deployment, worker):
    wrong = ask(
        f"deployments/{deployment}/create_flow_run", parameters={"steps": 80, "targets": [60]}
    )
    fill_learning_rate(form, "0.00002")
    fill_reward(form, "format")
    sent = send(form)
    assert len(runs_of(ask, deployment)) == 2
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


def sweep_field(form: Page, label: str) -> Locator:
    """The part of a sweep's form under the first such label; the fields of a sweep are nested."""
    labels = form.locator(
        ".schema-form-property__label", has_text=re.compile(f"^{re.escape(label)}$")
    )
    nearest = "ancestor::*[contains(concat(' ', @class, ' '), ' schema-form-property ')][1]"
    return labels.first.locator(f"xpath={nearest}")


def remove_last(part: Locator) -> None:
    """The bin beside the last entry of a list."""
    control = part.locator(".schema-form-property-array-item__control").last
    control.locator(":scope > button").first.click()


@pytest.mark.slow
def test_a_sweep_runs_with_what_is_filled_in_and_is_cancelled_from_its_page(
    sweep_form, pages, ask, deployed, worker
):
    form = sweep_form
    assert sweep_field(form, "base").get_by_text("toy-small", exact=True).is_visible()
    sweep_field(form, "name").locator("textarea").fill("one-seed")
    seeds = sweep_field(form, "seeds (Optional)")
    remove_last(seeds)
    expect(seeds.locator("input")).to_have_count(1)
    seeds.locator("input").fill("7")
    rates = sweep_field(form, "learning_rates (Optional)")
    rates.get_by_role("button", name="Add item").click()
    rates.locator("input").fill("0.0002")
    sweep_field(form, "mode (Optional)").locator(".p-select-button__control").press("ArrowDown")
    form.locator(".p-select-option").filter(has_text="inline").click()
    expect(rates.locator("input")).to_have_value("0.0002")
    sent = send(form)
    changed = {"name": "one-seed", "seeds": [7], "learning_rates": [2e-4], "mode": "inline"}
    expected = SweepConfig.model_validate(SHIPPED_SWEEP["parameters"]["sweep"] | changed)
    assert SweepConfig.model_validate(sent["parameters"]["sweep"]) == expected

    wait_for_state(ask, sent["id"], {"RUNNING"})
    wait_until(
        lambda: re.fullmatch("one-seed-[0-9a-f]{8}", ask(f"flow_runs/{sent['id']}")["name"]),
        "the run has not got the name of its sweep",
    )
    form.goto(f"{pages}/runs/flow-run/{sent['id']}")
    form.get_by_text("2 trials: exact-match; chatty; seeds 7").wait_for()
    form.get_by_role("button", name="Cancel").click()
    form.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    wait_for_state(ask, sent["id"], {"CANCELLED"})
