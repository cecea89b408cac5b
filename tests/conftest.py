"""What all tests share: a real S3 server, a real browser, and no deadlines for hypothesis."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import settings

from relex.errors import RewardError
from relex.rewards.sandbox import Limits, Sandbox
from relex.storage import S3Connection, Store, open_store
from relex.storage.embedded import embedded_s3
from relex.storage.s3 import open_client

if TYPE_CHECKING:  # a machine with a GPU may lack it, and the tests of the GPU need no browser
    from playwright.sync_api import Browser, Page

PAGE_MILLISECONDS = 1_500_000.0
"""Only ends what hangs."""

# How long an example takes depends on what else the machine does.
settings.register_profile("relex", deadline=None)
settings.load_profile("relex")

# Processes that share the tests ignore Ctrl-C, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the GPU are skipped where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="this machine has no GPU"))


BEGUN: set[Path] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin no test file after a time, in seconds since 1970, that the environment may set."""
    is_late = time.time() > float(os.environ.get("RELEX_TESTS_BEGIN_UNTIL", "inf"))
    if is_late and item.path not in BEGUN:
        pytest.skip(f"{item.location[0]}: NOT RUN, because the time is over; see make test-all")
    BEGUN.add(item.path)


@dataclass(frozen=True)
class S3:
    """A running server and one bucket on it that no other test uses."""

    connection: S3Connection
    uri: str
    """`s3://bucket` of the test."""

    folder: Path
    """Where the bucket's objects lie as files."""

    def store(self, name: str = "") -> Store:
        return open_store(f"{self.uri}/{name}", self.connection)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[tuple[S3Connection, Path]]:
    folder = tmp_path_factory.mktemp("s3") / "served"
    with embedded_s3(folder, "first") as connection:
        yield connection, folder


@pytest.fixture
def s3(s3_server) -> S3:
    """A fresh bucket on the session's server."""
    connection, folder = s3_server
    bucket = f"bucket-{len(list(folder.iterdir()))}"
    open_client(connection).create_bucket(Bucket=bucket)
    return S3(connection, f"s3://{bucket}", folder / bucket)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """The system's own Chromium, without a window; skipped where there is none."""
    from playwright.sync_api import expect, sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        # Its sandbox does not work for root, and a container has little /dev/shm.
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        opened = playwright.chromium.launch(
            executable_path=chromium, args=options, timeout=PAGE_MILLISECONDS
        )
        expect.set_options(timeout=PAGE_MILLISECONDS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: "Browser") -> "Iterator[Callable[..., Page]]":
    """Opens a page with the options of `Browser.new_page`; it is patient with a busy server."""
    with ExitStack() as pages:

        def open_one(**options: Any) -> "Page":
            page = browser.new_page(**options)
            pages.callback(page.close)
            page.set_default_timeout(PAGE_MILLISECONDS)
            return page

        yield open_one


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Where programs of a model run; skipped where the machine has none."""
    try:
        sandbox = Sandbox()
        sandbox.map(lambda worker, _: worker.script("", "", Limits()), [0])
    except RewardError as error:
        pytest.skip(f"no bubblewrap on this machine: {error}")
    yield sandbox
    sandbox.close()
