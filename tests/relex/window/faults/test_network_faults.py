"""Whatever one request meets on its way, the window holds the steps that were acknowledged."""

from collections.abc import Callable

import pytest
import torch

from relex.errors import InputError, StageError
from relex.storage import open_store
from relex.window import check_window, open_window, open_writer

KINDS = (
    "error 500",
    "slow down 503",
    "request dropped",
    "request truncated",
    "request flipped",
    "response truncated",
    "response flipped",
    "response lost",
)
STEPS = (1, 2, 3)
# Waiting between retries makes a fault cost a second; 1 breaks every request with every kind.
EVERY = 4


def broken_requests(num_requests: int, kind: str) -> range:
    """The requests that this kind of fault meets; the kinds take turns."""
    return range(KINDS.index(kind) % EVERY, num_requests, EVERY)


@pytest.fixture
def run(s3, proxied, base, snapshot) -> Callable[[str], int]:
    """Writes a window through the proxy, continued after each error as training would be; checks
    all that must hold afterwards, and returns the number of requests that it took."""
    proxy, connection = proxied

    def write(name: str) -> int:
        uri, acknowledged = f"{s3.uri}/{name}", []
        for _ in range(3):
            try:
                writer = open_writer(open_store(uri, connection), base, "float32", STEPS)
                assert list(writer.steps)[: len(acknowledged)] == acknowledged
                acknowledged = list(writer.steps)
                for step in writer.missing_steps:
                    writer.append(step, snapshot(step))
                    acknowledged.append(step)
                writer.finish()
                break
            except (StageError, InputError):
                continue
        num_requests = proxy.num_requests
        assert acknowledged == list(STEPS)
        assert check_window(uri, s3.connection, base=base) == len(STEPS)
        window = open_window(uri, s3.connection, base)
        for step in STEPS:
            for tensor in window.tensors:
                assert torch.equal(window.read(step, tensor), snapshot(step).read(tensor))
        return num_requests

    return write


@pytest.fixture
def read(s3, proxied, base, fill, snapshot) -> Callable[[], int]:
    """Verifies and reads a whole window through the proxy."""
    proxy, connection = proxied
    fill(s3.store("window"))

    def everything() -> int:
        uri = f"{s3.uri}/window"
        assert check_window(uri, connection, base=base) == 3
        window = open_window(uri, connection, base)
        for tensor in window.tensors:
            rows = window.rows(tensor, 0, window.tensors[tensor].num_elements, window.steps)
            for step, row in zip(window.steps, rows, strict=True):
                assert torch.equal(row, snapshot(step).read(tensor))
        return proxy.num_requests

    return everything


@pytest.mark.parametrize("kind", ["request flipped", "response lost"])
def test_writing_survives_a_fault_while_a_step_is_stored(proxied, run, kind):
    proxy, _ = proxied
    proxy.break_request(10, kind, byte=-100)
    run("window")
    assert proxy.num_faults == 1


@pytest.mark.parametrize("kind", ["response flipped", "response truncated"])
def test_reading_survives_a_fault(proxied, read, kind):
    proxy, _ = proxied
    proxy.break_request(8, kind, byte=-100)
    read()
    assert proxy.num_faults == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_writing_survives_a_fault_of_a_request_anywhere(proxied, run, kind, count_faults):
    proxy, _ = proxied
    broken = broken_requests(run("unbroken"), kind)
    for number in broken:
        proxy.break_request(number, kind, byte=7 * number)
        run(f"window-{number}")
    assert proxy.num_faults == len(broken)
    count_faults(f"{kind}, while writing", proxy.num_faults)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_reading_survives_a_fault_of_a_request_anywhere(proxied, read, kind, count_faults):
    proxy, _ = proxied
    broken = broken_requests(read(), kind)
    for number in broken:
        proxy.break_request(number, kind, byte=7 * number)
        read()
    assert proxy.num_faults == len(broken)
    count_faults(f"{kind}, while reading", proxy.num_faults)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["request truncated", "response truncated"])
def test_connections_may_drop_at_every_kth_byte(proxied, run, kind, count_faults):
    """The upload of step 1's file, and what reads it back."""
    proxy, _ = proxied
    number = _number_of_upload(proxy, run) + (kind == "response truncated") * 2
    for byte in range(0, 1200, 60 * EVERY):
        proxy.break_request(number, kind, byte)
        run(f"window-{byte}")
    count_faults(f"{kind}, at every {60 * EVERY}th byte", proxy.num_faults)


def _number_of_upload(proxy, run) -> int:
    run("unbroken")
    return next(n for n, path in enumerate(proxy.paths) if "steps/step_000001" in path)
