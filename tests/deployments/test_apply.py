"""prefect.yaml on a real server: applied, read back, applied again."""

import subprocess
from typing import Any

import pytest
import yaml
from prefect.client.schemas.responses import DeploymentResponse

from deployments.apply import POOL_TYPES, REGISTRY, apply_pool, read_deployments, read_registry
from relex.errors import InputError

TIMES = {"updated", "last_polled", "status"}
NAMES = ["relex-pipeline", "relex-extrapolate", "reward-sweep"]


@pytest.fixture(scope="module")
def applied(apply_command) -> subprocess.CompletedProcess[str]:
    result = apply_command("--gpus", "2", RELEX_ROOT="/the/clone/of/whoever/applies")
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture
def registry() -> dict:
    return yaml.safe_load(REGISTRY.read_text())


@pytest.fixture
def apply_changed(applied, apply_command, tmp_path):
    """Applies a changed prefect.yaml."""

    def apply(registry: dict, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "prefect.yaml"
        path.write_text(yaml.safe_dump(registry))
        return apply_command("--registry", str(path), *arguments)

    return apply


def written(value: Any, found: Any) -> Any:
    """What was found, without what the file does not say."""
    if isinstance(value, dict) and isinstance(found, dict):
        return {key: written(value[key], found[key]) for key in value.keys() & found.keys()}
    if isinstance(value, list) and isinstance(found, list):
        return [written(*pair) for pair in zip(value, found, strict=True)]
    return found


def on_server(deployment: DeploymentResponse) -> dict[str, Any]:
    """A deployment of the server in the shape in which prefect.yaml writes it."""
    return deployment.model_dump(mode="json") | {
        "pull": deployment.pull_steps,
        "schedules": [
            schedule.model_dump(mode="json") | schedule.schedule.model_dump(mode="json")
            for schedule in deployment.schedules
        ],
        "work_pool": {
            "name": deployment.work_pool_name,
            "work_queue_name": deployment.work_queue_name,
            "job_variables": deployment.job_variables,
        },
    }


def everything(client) -> list[dict[str, Any]]:
    """Pool, queues, deployments and automations, without when something last looked at them."""
    objects = [
        client.read_work_pool("relex"),
        *(client.read_work_queue_by_name(name, "relex") for name in ("gpu", "light")),
        *read_deployments(client, NAMES).values(),
        *client.read_automations_by_name("relex-zombies"),
    ]
    return [without_times(thing.model_dump()) for thing in objects]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def test_all_of_the_file_is_on_the_server(applied, client):
    registry = read_registry()
    found = read_deployments(client, NAMES)
    assert sorted(found) == sorted(NAMES)
    for entry in registry["deployments"]:
        entry = {"pull": registry["pull"], "schedules": [], **entry}
        entry["tags"] = sorted(entry["tags"])
        there = on_server(found[entry["name"]])
        there["tags"].sort()
        assert written(entry, there) == entry


def test_the_queue_for_gpus_takes_one_run_for_each_and_the_light_one_any_number(applied, client):
    limits = {
        name: client.read_work_queue_by_name(name, "relex").concurrency_limit
        for name in ("gpu", "light")
    }
    assert limits == {"gpu": 2, "light": None}


def test_a_sweep_waits_where_it_takes_no_gpu_from_its_trials(applied, client):
    found = read_deployments(client, NAMES)
    queues = {name: deployment.work_queue_name for name, deployment in found.items()}
    assert queues.pop("reward-sweep") == "light"
    assert set(queues.values()) == {"gpu"}


def test_runs_start_in_the_clone_of_the_worker_that_takes_them(applied, client):
    steps = read_deployments(client, NAMES)["relex-pipeline"].pull_steps
    (step,) = steps
    assert step == {
        "prefect.deployments.steps.set_working_directory": {"directory": "{{ $RELEX_ROOT }}"}
    }


def test_the_nightly_sweep_is_shipped_switched_off(applied, client):
    schedules = read_deployments(client, NAMES)["reward-sweep"].schedules
    assert [(schedule.slug, schedule.active) for schedule in schedules] == [("nightly", False)]


def test_the_form_knows_the_parameters_and_the_server_checks_them(applied, client):
    for deployment in read_deployments(client, NAMES).values():
        assert deployment.enforce_parameter_schema
        assert deployment.parameter_openapi_schema["properties"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_applying_again_changes_nothing_but_respects_what_users_switched_on(
    applied, apply_command, client, seed
):
    """Whatever the order of Python's sets is."""
    sweep = read_deployments(client, NAMES)["reward-sweep"]
    client.update_deployment_schedule(sweep.id, sweep.schedules[0].id, active=True)
    before = everything(client)
    again = apply_command("--gpus", "2", PYTHONHASHSEED=seed)
    assert again.returncode == 0, again.stderr
    assert again.stdout == applied.stdout
    assert everything(client) == before
    (schedule,) = read_deployments(client, NAMES)["reward-sweep"].schedules
    assert schedule.active


@pytest.mark.slow
def test_what_the_file_no_longer_says_goes_and_what_it_newly_says_comes(
    registry, apply_changed, client
):
    (sweep,) = (e for e in registry["deployments"] if e["name"] == "reward-sweep")
    sweep["schedules"][0]["slug"] = "monthly"
    sweep["tags"] = ["renamed"]
    registry["deployments"] = [sweep]
    result = apply_changed(registry, "--gpus", "0")
    assert "deployment reward-sweep" in result.stdout.splitlines(), result.stderr
    found = read_deployments(client, NAMES)["reward-sweep"]
    assert [schedule.slug for schedule in found.schedules] == ["monthly"]
    assert found.tags == ["renamed"]
    assert client.read_work_queue_by_name("gpu", "relex").concurrency_limit is None


def test_a_file_with_keys_that_prefect_drops_changes_nothing(registry, apply_changed, client):
    before = everything(client)
    registry["deployments"][0]["work_pool"]["work_queue"] = "light"
    result = apply_changed(registry)
    assert result.returncode == 2
    assert "prefect.yaml.deployments[0].work_pool.work_queue: Prefect" in result.stderr
    assert everything(client) == before


@pytest.mark.slow
def test_what_prefect_deploy_refuses_is_told(registry, apply_changed):
    registry["deployments"][0]["entrypoint"] = "flows/pipeline.py:no_such_flow"
    result = apply_changed(registry)
    assert result.returncode == 2
    assert "error: prefect.yaml: `prefect deploy` refuses it; its last lines:" in result.stderr


def test_a_pool_of_another_type_is_told(applied, client):
    with pytest.raises(InputError, match="work pool relex: has type process, not docker"):
        apply_pool(client, "relex", "docker")


def test_a_server_that_does_not_answer_is_told_in_one_line(apply_command):
    result = apply_command(PREFECT_API_URL="http://127.0.0.1:1/api")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: PREFECT_API_URL http://127.0.0.1:1/api: no Prefect server")


@pytest.mark.parametrize("kind", POOL_TYPES)
def test_a_server_takes_the_job_template_of_each_type(client, kind):
    for _ in range(2):
        assert apply_pool(client, f"relex-{kind}", kind) == f"work pool relex-{kind} ({kind})"
    assert client.read_work_pool(f"relex-{kind}").base_job_template["variables"]["properties"]
