"""Images, job templates and the compose file, as far as they can be checked without a daemon.

docs/service.md says what was checked once, by hand.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from deployments.apply import POOL_TYPES

FOLDER = Path(__file__).parents[2] / "deployments"
COMPOSE = yaml.safe_load((FOLDER / "compose" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
TEMPLATES = {
    kind: json.loads((FOLDER / kind / "base-job-template.json").read_text())
    for kind in POOL_TYPES[1:]
}
DOCKERFILE = (FOLDER / "docker" / "Dockerfile").read_text()


def test_every_part_of_the_team_service_is_there():
    assert SERVICES.keys() == {"postgres", "s3", "prefect", "mlflow", "deployments", "worker"}


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_open_to_this_machine_only(service):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_come_from_the_environment_and_compose_refuses_to_start_without(service):
    for name, value in SERVICES[service].get("environment", {}).items():
        if re.search(r"PASSWORD|KEY|DATABASE|STORE_URI", name):
            assert re.findall(r"\$\{[A-Z0-9_]+:\?", value), name
            assert not re.search(r"://\w+:[^$@]+@", value), name


def test_the_example_of_the_environment_names_all_secrets_and_holds_none():
    text = (FOLDER / "compose" / "compose.yaml").read_text()
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    lines = (FOLDER / "compose" / "env.example").read_text().splitlines()
    example = dict(line.split("=") for line in lines if line and not line.startswith("#"))
    assert required <= example.keys()
    assert set(example.values()) == {""}


def test_who_waits_for_another_waits_for_one_that_says_when_it_is_ready():
    for name, service in SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            ready = condition["condition"]
            is_job = ready == "service_completed_successfully"
            assert is_job or (ready == "service_healthy" and "healthcheck" in SERVICES[other]), name


def test_images_are_built_from_targets_that_exist_or_have_a_version():
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    for name, service in SERVICES.items():
        if "build" in service:
            assert service["build"]["target"] in targets
            context = FOLDER / "compose" / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
        else:
            assert re.search(r":[0-9.]+$", service["image"]), name


def test_images_hold_the_pinned_set():
    assert "-c constraints.txt" in DOCKERFILE
    assert "sh deployments/install.sh" in DOCKERFILE
    for source in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((FOLDER.parent / path).exists() for path in source.split())


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_job_template_uses_only_variables_that_it_describes(kind):
    template = TEMPLATES[kind]
    used = re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"]))
    assert set(used) <= template["variables"]["properties"].keys()


def test_a_docker_run_takes_secrets_from_its_worker_and_not_from_prefect():
    environment = TEMPLATES["docker"]["variables"]["properties"]["env"]["default"]
    assert {"AWS_SECRET_ACCESS_KEY", "RELEX_S3_ENDPOINT", "MLFLOW_TRACKING_URI"} <= set(environment)
    assert all(value == f"{{{{ ${name} }}}}" for name, value in environment.items())


def test_a_kubernetes_run_takes_secrets_from_the_cluster_and_gpus_from_the_form():
    job = TEMPLATES["kubernetes"]["job_configuration"]["job_manifest"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "relex"}}]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "{{ gpus }}"
