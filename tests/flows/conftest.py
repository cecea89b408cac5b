"""Runs the pipeline as a user does, against one Prefect server for all tests."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import prefect_environment, prefect_server

ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def prefect_settings(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment of processes that use the tests' Prefect server."""
    home, port = Home(tmp_path_factory.mktemp("prefect")), free_port()
    with prefect_server(home, port):
        yield prefect_environment(home, port)


@pytest.fixture(scope="session")
def build_environment(prefect_settings) -> Callable[[Path], dict[str, str]]:
    """The environment of a pipeline whose home is the given folder."""

    def build(home: Path) -> dict[str, str]:
        return {**os.environ, **prefect_settings, "RELEX_HOME": str(home), "COLUMNS": "200"}

    return build


@pytest.fixture
def run_command(build_environment) -> Command:
    """`python -m flows.run ARGUMENTS` with its home in the given folder."""

    def run(arguments: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flows.run", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=build_environment(home), capture_output=True, text=True
        )

    return run


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]
