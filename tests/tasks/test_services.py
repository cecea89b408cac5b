"""The servers of one machine start, answer, and leave nothing behind."""

import os
import sys
import urllib.request

import psutil
import pytest

from relex.errors import ResourceError
from relex.home import Home
from relex.storage.embedded import free_port
from tasks.services import Server, mlflow, prefect, running
from tests.processes import is_alive, listening


@pytest.mark.parametrize(("server", "health"), [(prefect, "/api/health"), (mlflow, "/health")])
def test_a_server_answers_on_loopback_and_ends_with_its_processes(tmp_path, server, health):
    port = free_port()
    before = set(psutil.Process().children(recursive=True))
    home = Home(tmp_path)
    with running(server(home, port), home) as address:
        with urllib.request.urlopen(address + health) as answer:
            assert answer.status == 200
        started = set(psutil.Process().children(recursive=True)) - before
        addresses = {address for process in started for address, _ in listening(process)}
        # Ctrl-C, which a terminal sends to its group, reaches none of them.
        groups = {os.getpgid(process.pid) for process in started}
    assert addresses == {"127.0.0.1"}
    assert os.getpgrp() not in groups
    assert [process for process in started if is_alive(process)] == []


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path):
    command = [sys.executable, "-m", "mlflow", "server", "--no-such-option"]
    server = Server("mlflow", free_port(), command, {})
    with pytest.raises(ResourceError, match="no-such-option"), running(server, Home(tmp_path)):
        pass
