"""The commands of the compose file start, with their environment, as far as they can without a
daemon: ports and folders of this machine stand for those of the containers, SQLite for PostgreSQL.
"""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from mlflow.tracking import MlflowClient

from relex.storage.embedded import free_port
from tasks.services import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deployments" / "compose" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deployments" / "docker" / "Dockerfile").read_text()
SECRETS = {"POSTGRES_PASSWORD": "pg", "S3_ACCESS_KEY": "AKfortest", "S3_SECRET_KEY": "SKfortest"}
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
PORTS = {"s3": "9000", "prefect": "4200", "mlflow": "5000"}


def filled_in(text: str) -> str:
    """As Compose puts variables in, with nothing set but the secrets."""
    return VARIABLE.sub(lambda found: SECRETS.get(found[1], found[3] or ""), text)


@dataclass
class Team:
    """The services that run, on ports of this machine."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})

    def here(self, text: str) -> str:
        """What a container is told, as it is on this machine."""
        text = re.sub(r"postgresql\+\w+://relex:pg@postgres:5432/(\w+)", self._database, text)
        for name, port in PORTS.items():
            text = text.replace(f"http://{name}:{port}", f"http://127.0.0.1:{self.ports[name]}")
            text = re.sub(rf"(?<=[=: ]){port}\b", str(self.ports[name]), text)
        text = text.replace("--addr :", "--addr 127.0.0.1:").replace("0.0.0.0", "127.0.0.1")
        return text.replace("/data", str(self.folder / "data"))

    def _database(self, found: re.Match[str]) -> str:
        asynchronous = "+aiosqlite" if "asyncpg" in found[0] else ""
        return f"sqlite{asynchronous}:///{self.folder / found[1]}.db"

    def environment(self, name: str) -> dict[str, str]:
        stated: Mapping[str, str] = SERVICES[name].get("environment", {})
        own = {key: self.here(filled_in(value)) for key, value in stated.items()}
        beside = Path(sys.executable).parent
        places = {
            "PATH": f"{beside}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "RELEX_HOME": str(self.folder / "home"),
            "RELEX_ROOT": str(ROOT),
            "PYTHONPATH": str(ROOT),
        }
        return places | own

    @contextmanager
    def running(self, name: str, command: list[str], said: str) -> Iterator[None]:
        """Run what a container runs until the block ends; it is ready when its log has `said`."""
        log = self.folder / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*(sys.executable, "-m", "relex.children", str(os.getpid())), *command],
                cwd=ROOT,
                env=self.environment(name),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: said in log.read_text(), process, log)
            yield
        finally:
            process.terminate()
            process.wait()

    def command(self, name: str) -> list[str]:
        service = SERVICES[name]
        words = [*service.get("entrypoint", []), *service["command"]]
        return [self.here(filled_in(word)) for word in words]

    def check(self, name: str) -> None:
        """Run the health check of a container."""
        asked, *words = SERVICES[name]["healthcheck"]["test"]
        assert asked == "CMD"
        done = subprocess.run(
            [self.here(word) for word in words],
            env=self.environment(name),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def team(tmp_path_factory) -> Team:
    return Team(tmp_path_factory.mktemp("team"))


@pytest.fixture(scope="module")
def s3(team) -> Iterator[str]:
    """The address of the S3 server, as the compose file starts it."""
    with team.running("s3", team.command("s3"), "Starting s3 server"):
        yield f"http://127.0.0.1:{team.ports['s3']}"


@pytest.fixture(scope="module")
def prefect(team) -> Iterator[str]:
    with team.running("prefect", team.command("prefect"), "Uvicorn running"):
        yield f"http://127.0.0.1:{team.ports['prefect']}"


@pytest.fixture(scope="module")
def mlflow(team, s3) -> Iterator[str]:
    with team.running("mlflow", team.command("mlflow"), "Application startup complete"):
        yield f"http://127.0.0.1:{team.ports['mlflow']}"


def client_of(address: str, secret: str):
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=SECRETS["S3_ACCESS_KEY"],
        aws_secret_access_key=secret,
    )


def test_its_s3_server_starts_with_both_buckets_and_takes_its_keys_only(s3):
    right = client_of(s3, SECRETS["S3_SECRET_KEY"])
    assert {bucket["Name"] for bucket in right.list_buckets()["Buckets"]} == {"relex", "mlflow"}
    right.put_object(Bucket="relex", Key="a/b", Body=b"text")
    assert right.get_object(Bucket="relex", Key="a/b")["Body"].read() == b"text"
    with pytest.raises(ClientError, match=r"403|SignatureDoesNotMatch"):
        client_of(s3, "another").list_buckets()


def status(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_its_prefect_server_starts_and_answers_its_workers_and_its_pages_only(team, prefect):
    team.check("prefect")
    health = f"{prefect}/api/health"
    assert status(health, Host="prefect:4200") == 200
    assert status(health, Host="localhost:4200", Origin="http://localhost:4200") == 200
    assert status(health, Host="evil.example:4200") == 403
    assert status(health, Origin="http://evil.example") == 403


def test_its_mlflow_server_keeps_artifacts_on_its_s3_server(team, mlflow):
    team.check("mlflow")
    assert status(f"{mlflow}/", Host=f"mlflow:{team.ports['mlflow']}") == 200
    assert status(f"{mlflow}/", Host="10.evil.example") == 403
    client = MlflowClient(mlflow)
    run = client.create_run(client.create_experiment("team")).info.run_id
    client.log_text(run, "text", "note.txt")
    assert list((team.folder / "data" / "mlflow").rglob("note.txt")) != []


def test_its_deployments_are_applied_and_its_worker_takes_runs(team, prefect, s3):
    applied = subprocess.run(
        team.command("deployments"),
        cwd=ROOT,
        env=team.environment("deployments"),
        capture_output=True,
        text=True,
    )
    assert applied.returncode == 0, applied.stderr
    (stated,) = re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    with team.running("worker", yaml.safe_load(stated), "started!"):
        pass


def test_what_the_image_of_the_servers_holds_is_enough_for_its_prefect_server():
    """The server is started with a file of the clone, which has to be there, alone."""
    copied = re.findall(r"^COPY (.*tasks/prefect_server\.py) tasks/$", DOCKERFILE, re.MULTILINE)
    assert copied == ["tasks/__init__.py tasks/prefect_server.py"]
    program = "import sys, tasks.prefect_server; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    packages = {name.split(".")[0] for name in loaded.stdout.split()}
    assert packages.isdisjoint({"relex", "flows", "deployments"})
