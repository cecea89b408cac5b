"""A proxy before a real S3 server that misbehaves on request."""

import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

import pytest
from botocore.retries.bucket import TokenBucket
from botocore.retries.standard import ExponentialBackoff

import relex.storage.s3
from relex.storage import S3Connection

Kind = Literal[
    "error 500",
    "slow down 503",
    "request dropped",
    "request truncated",
    "request flipped",
    "response truncated",
    "response flipped",
    "response lost",
]


FAULTS = pytest.StashKey[Counter[str]]()


@pytest.fixture
def count_faults(request) -> Callable[[str, int], None]:
    """Adds to the faults that the session's summary states."""

    def count(kind: str, number: int) -> None:
        request.config.stash.setdefault(FAULTS, Counter())[kind] += number

    return count


def pytest_terminal_summary(terminalreporter, config) -> None:
    if faults := config.stash.get(FAULTS, None):
        terminalreporter.section(f"{faults.total()} faults survived by windows")
        for kind, number in faults.items():
            terminalreporter.line(f"{number:4d}  {kind}")


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    kind: Kind
    byte: int = 0
    """Where in the body it happens, where that matters; counted around its length."""


Plan = Callable[[int], Fault | None]
"""The fault of the request with this number, counted from 0."""


class Proxy:
    """Counts requests and breaks those that `plan` says."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.plan: Plan = lambda number: None
        self.num_requests = 0
        self.num_faults = 0
        self.paths: list[str] = []
        self._lock = threading.Lock()

    def break_request(self, number: int, kind: Kind, byte: int = 0) -> None:
        """Count requests from 0 again, and break the one with this number."""
        self.num_requests = 0
        self.plan = lambda found: Fault(kind, byte) if found == number else None

    def next_fault(self, path: str) -> Fault | None:
        with self._lock:
            self.paths.append(path)
            fault = self.plan(self.num_requests)
            self.num_requests += 1
            self.num_faults += fault is not None
            return fault


@contextmanager
def misbehaving(connection: S3Connection) -> Iterator[tuple[Proxy, S3Connection]]:
    """The proxy, and how to reach the server through it."""
    proxy = Proxy(urlsplit(connection.endpoint_url).netloc)

    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy, connection.model_copy(update={"endpoint_url": address})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on()

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        fault = self.proxy.next_fault(self.path)
        match fault:
            case None:
                self._answer(*self._ask(body))
            case Fault(kind="error 500"):
                self._answer(500, [], _error("InternalError"))
            case Fault(kind="slow down 503"):
                self._answer(503, [], _error("SlowDown"))
            case Fault(kind="request dropped"):
                self._hang_up()
            case Fault(kind="request truncated", byte=byte):
                self._send_part(body, byte)
                self._hang_up()
            case Fault(kind="request flipped", byte=byte):
                self._answer(*self._ask(_flipped(body, byte)))
            case Fault(kind="response truncated", byte=byte):
                self._answer(*self._ask(body), stop=byte)
            case Fault(kind="response flipped", byte=byte):
                status, headers, answer = self._ask(body)
                self._answer(status, headers, _flipped(answer, byte))
            case Fault(kind="response lost"):
                self._ask(body)
                self._hang_up()

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.proxy.upstream)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, stop: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = dict((n.lower(), v) for n, v in headers).get("content-length")
        is_head = self.command == "HEAD"
        self.send_header("Content-Length", length if is_head and length else str(len(body)))
        self.end_headers()
        if is_head:
            return
        self.wfile.write(body if stop is None else body[: stop % max(len(body), 1)])
        self.wfile.flush()
        if stop is not None:
            self._hang_up()

    def _send_part(self, body: bytes, stop: int) -> None:
        """Let the server see the beginning of a request only."""
        host, port = self.proxy.upstream.split(":")
        lines = [f"{self.command} {self.path} HTTP/1.1"]
        lines += [f"{k}: {v}" for k, v in self.headers.items() if k.lower() != "expect"]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        with socket.create_connection((host, int(port))) as upstream:
            upstream.sendall(head + body[: stop % max(len(body), 1)])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _flipped(data: bytes, byte: int) -> bytes:
    if not data:
        return data
    byte %= len(data)
    return data[:byte] + bytes([data[byte] ^ 0x10]) + data[byte + 1 :]


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()


@pytest.fixture
def no_pauses(monkeypatch) -> None:
    """Everything is asked again as often as it would be, but at once."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    monkeypatch.setattr(TokenBucket, "acquire", lambda *_, **__: True)
    monkeypatch.setattr(relex.storage.s3, "FIRST_PAUSE_SECONDS", 0)


@pytest.fixture
def proxied(s3, no_pauses) -> Iterator[tuple[Proxy, S3Connection]]:
    """A proxy before the server of the test, and how to reach the server through it."""
    with misbehaving(s3.connection) as found:
        yield found
