"""A real Prefect server, and the commands that users give."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import prefect, prefect_environment, running

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def prefect_settings(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment of processes that use the tests' Prefect server."""
    home, port = Home(tmp_path_factory.mktemp("prefect")), free_port()
    with running(prefect(home, port), home):
        yield prefect_environment(home, port)


@pytest.fixture(scope="session")
def client(prefect_settings) -> Iterator[SyncPrefectClient]:
    with SyncPrefectClient(prefect_settings["PREFECT_API_URL"]) as client:
        yield client


@pytest.fixture(scope="session")
def apply_command(prefect_settings) -> Command:
    """`python -m deployments.apply ARGUMENTS` against the tests' server."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deployments.apply", *arguments]
        env = {**os.environ, **prefect_settings, **environment}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)

    return run
