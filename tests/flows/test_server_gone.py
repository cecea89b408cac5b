"""A Prefect server that goes away ends a run in one line, and the same command goes on later."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import prefect, prefect_environment, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "deployments" / "recipes" / "toy-small.yaml"
TRAINED = "window of 8 snapshots"
GOES_ON = "does not answer any more (ConnectError); start it again, and the same command goes on"


def start(home: Home, port: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        **prefect_environment(home, port),
        "RELEX_HOME": str(home.root / "relex"),
        # A server that is away is asked for minutes otherwise.
        "PREFECT_CLIENT_MAX_RETRIES": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "flows.program", "pipeline", str(RECIPE)],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def place(tmp_path) -> tuple[Home, int]:
    return Home(tmp_path), free_port()


def test_one_line_when_it_goes_away_and_the_same_command_goes_on(place):
    with running(prefect(*place), place[0]):
        process = start(*place)
        told = next((line for line in process.stdout if TRAINED in line), "")
    assert told, process.stderr.read()
    _, errors = process.communicate()
    (line,) = errors.splitlines()
    assert line.startswith(f"relex: Prefect at http://127.0.0.1:{place[1]}/api: {GOES_ON}")
    assert process.returncode == 2
    with running(prefect(*place), place[0]):
        process = start(*place)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert errors == ""
    # Training alone says this, and it is not done again.
    assert TRAINED not in output


def test_one_line_when_it_was_never_there(place):
    process = start(*place)
    _, errors = process.communicate()
    (line,) = errors.splitlines()
    assert line.startswith(f"relex: Prefect at http://127.0.0.1:{place[1]}/api: does not answer")
    assert process.returncode == 2
