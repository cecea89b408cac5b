"""A real server, worker and queue, with flows that do nothing: who runs beside whom, what becomes
of a run that died unseen, and the message at the end of a sweep."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
import yaml

from tasks.flow_run import HARMFUL
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
AUTOMATIONS = ROOT / "deployments" / "automations"
FLOWS = "tests/flows/small_flows.py"
HEARTBEAT_SECONDS = 180
"""Prefect's default."""

APPLY_WEBHOOK = """
from prefect.client.orchestration import get_client
from deployments.apply_automations import apply_webhook
with get_client(sync_client=True) as client:
    for line in [*apply_webhook(client), *apply_webhook(client)]:
        print(line)
"""


def run_python(service, *arguments: str, **environment: str) -> str:
    command, env = [sys.executable, *arguments], {**service.environment, **environment}
    done = subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def create_automation(service, tmp_path) -> Iterator[Callable[[str], None]]:
    """From the text of a file; removed at the end, because other files share the server."""
    names = []

    def create(text: str) -> None:
        path = tmp_path / "automation.yaml"
        path.write_text(text)
        names.append(yaml.safe_load(text)["name"])
        run_python(service, "-m", "prefect", "automation", "create", "--from-file", str(path))

    yield create
    for name in names:
        run_python(service, "-m", "prefect", "automation", "delete", name)


@pytest.mark.slow
def test_a_queue_with_a_limit_of_one_runs_one_and_without_a_limit_all(service, tmp_path):
    path = f"work_pools/{service.pool}/queues"
    service.request(path, {"name": "gpu", "concurrency_limit": 1})
    alone = service.deploy("alone", f"{FLOWS}:alone", work_queue_name="gpu")
    together = service.deploy("together", f"{FLOWS}:together")
    for folder in ("alone", "together"):
        (tmp_path / folder).mkdir()
    runs = [service.start(alone, folder=str(tmp_path / "alone")) for _ in range(2)]
    both = {"folder": str(tmp_path / "together"), "others": 1}
    runs += [service.start(together, **both) for _ in range(2)]
    assert [service.wait_until_ended(run) for run in runs] == ["COMPLETED"] * 4


@pytest.fixture
def mailbox() -> Iterator[tuple[str, "Queue[bytes]"]]:
    """The address of an HTTP server, and what was sent to it."""
    received: Queue[bytes] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_a_sweep_that_has_ended_sends_its_message(service, mailbox):
    address, received = mailbox
    applied = run_python(service, "-c", APPLY_WEBHOOK, RELEX_SWEEP_WEBHOOK=address)
    assert applied.splitlines() == ["automation relex-sweep-finished"] * 2
    sweep = service.deploy("reward-sweep", f"{FLOWS}:finished_sweep")
    run = service.start(sweep)
    assert service.wait_until_ended(run) == "COMPLETED"
    text = json.loads(received.get())["text"]
    assert text.startswith("Sweep ")
    assert "has ended: Completed." in text
    assert run in text
    assert received.empty()
    run_python(service, "-m", "prefect", "automation", "delete", "relex-sweep-finished")


def test_no_healthy_run_is_taken_for_a_zombie():
    automation = yaml.safe_load((AUTOMATIONS / "zombies.yaml").read_text())
    assert automation["trigger"]["within"] > 3 * HEARTBEAT_SECONDS


@pytest.mark.parametrize("name", ["zombies.yaml", "templates/sweep-finished.yaml"])
def test_a_run_that_made_the_model_worse_has_ended_too(name):
    automation = yaml.safe_load((AUTOMATIONS / name).read_text())
    ends = {"Completed", HARMFUL, "Failed", "Cancelled", "Crashed"}
    assert {f"prefect.flow-run.{end}" for end in ends} <= set(automation["trigger"]["expect"])


def test_a_run_that_died_with_its_worker_becomes_crashed(service, create_automation, tmp_path):
    """The last test of this file: it takes the worker."""
    automation = yaml.safe_load((AUTOMATIONS / "zombies.yaml").read_text())
    automation["trigger"]["within"] = 10
    create_automation(yaml.safe_dump(automation))
    folder = tmp_path / "flows"
    folder.mkdir()
    together = service.deploy("together", f"{FLOWS}:together")
    run = service.start(together, folder=str(folder), others=1)
    wait_until(lambda: list(folder.iterdir()) != [], "the flow has not started")
    service.kill_worker()
    assert service.state(run) == "RUNNING"
    assert service.wait_until_ended(run) == "CRASHED"
