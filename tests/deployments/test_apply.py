"""prefect.yaml on a real server: applied, read back, applied again."""

import subprocess
from collections import Counter

import pytest
import yaml

from deployments.deploy import read_deployments
from deployments.pool import POOL_TYPES, apply_pool
from deployments.registry import REGISTRY, differences, entry_of, expected_entry, read_registry
from relex.errors import InputError

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


def states(result: subprocess.CompletedProcess[str]) -> Counter[str]:
    return Counter(line.split()[0] for line in result.stdout.splitlines())


def test_all_of_the_file_is_on_the_server(applied, client):
    registry = read_registry()
    found = read_deployments(client, NAMES)
    assert sorted(found) == sorted(NAMES)
    for entry in registry["deployments"]:
        expected = expected_entry(registry, entry)
        assert list(differences(expected, entry_of(found[entry["name"]]), entry["name"])) == []


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


@pytest.mark.parametrize("seed", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_applying_again_changes_nothing_but_respects_what_users_switched_on(
    applied, apply_command, client, seed
):
    """Whatever the order of Python's sets is."""
    sweep = read_deployments(client, NAMES)["reward-sweep"]
    client.update_deployment_schedule(sweep.id, sweep.schedules[0].id, active=True)
    again = apply_command("--gpus", "2", PYTHONHASHSEED=seed)
    assert again.returncode == 0, again.stderr
    assert states(again) == {"unchanged": states(applied)["created"]}
    (schedule,) = read_deployments(client, NAMES)["reward-sweep"].schedules
    assert schedule.active


def test_what_the_file_no_longer_says_goes_and_what_it_newly_says_comes(
    registry, apply_changed, client
):
    (sweep,) = (e for e in registry["deployments"] if e["name"] == "reward-sweep")
    sweep["schedules"][0]["slug"] = "monthly"
    sweep["tags"] = ["renamed"]
    registry["deployments"] = [sweep]
    result = apply_changed(registry, "--gpus", "0")
    assert "updated    deployment reward-sweep" in result.stdout, result.stderr
    found = read_deployments(client, NAMES)["reward-sweep"]
    assert [schedule.slug for schedule in found.schedules] == ["monthly"]
    assert found.tags == ["renamed"]
    assert client.read_work_queue_by_name("gpu", "relex").concurrency_limit is None


def test_keys_that_prefect_drops_are_found(registry, apply_changed):
    pipeline = registry["deployments"][0]
    pipeline["concurrency_options"] = {"collision_strategy": "ENQUEUE"}
    pipeline["work_pool"]["work_queue"] = pipeline["work_pool"].pop("work_queue_name")
    registry["deployments"] = [pipeline]
    result = apply_changed(registry)
    assert result.returncode == 2
    assert [line.split(":")[0].strip() for line in result.stderr.splitlines()] == [
        "error",
        "deployments.relex-pipeline.concurrency_options",
        "deployments.relex-pipeline.work_pool.work_queue",
    ]


def test_a_pool_of_another_type_is_told(applied, registry, client):
    pool = registry["definitions"]["work_pool"]
    with pytest.raises(InputError, match="work pool relex: has type process, not docker"):
        list(apply_pool(client, pool, 0, "docker"))


def test_a_server_that_does_not_answer_is_told_in_one_line(apply_command):
    result = apply_command(PREFECT_API_URL="http://127.0.0.1:1/api")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: PREFECT_API_URL http://127.0.0.1:1/api: no Prefect server")


@pytest.mark.parametrize("kind", POOL_TYPES)
def test_a_server_takes_the_job_template_of_each_type(registry, client, kind):
    pool = registry["definitions"]["work_pool"] | {"name": f"relex-{kind}"}
    first, again = (list(apply_pool(client, pool, 0, kind)) for _ in range(2))
    assert [line.split()[0] for line in (first[0], again[0])] == ["created", "unchanged"]
    assert client.read_work_pool(f"relex-{kind}").base_job_template["variables"]["properties"]
