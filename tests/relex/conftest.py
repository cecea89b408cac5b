"""A sandbox for tests; they are skipped by name where the machine has none."""

import shutil
from collections.abc import Iterator

import pytest

from relex.rewards.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    if shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap on this machine: apt-get install bubblewrap")
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()
