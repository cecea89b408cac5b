"""No web page but its own gets anything done by a server that we start.

A browser says from which page a request comes (Origin) and for which name it was meant (Host).
"""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from relex.home import Home
from relex.storage.embedded import embedded_s3, free_port
from tasks.services import mlflow, prefect, running

pytestmark = pytest.mark.slow

JSON = "application/json"
TEXT = "text/plain;charset=UTF-8"
SERVERS = {"prefect": prefect, "mlflow": mlflow}
CREATE = {
    "prefect": "/api/variables/",
    "mlflow": "/api/2.0/mlflow/experiments/create",
}
SEARCH = {
    "prefect": ("/api/variables/filter", b"{}"),
    "mlflow": ("/api/2.0/mlflow/experiments/search", b'{"max_results": 1000}'),
}
FOREIGN_ORIGINS = (
    "http://evil.example",
    "https://evil.example:4200",
    "null",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example:{port}",
    "http://evil.example#127.0.0.1:{port}",
    "http://127.0.0.1:{port}@evil.example",
    "file://",
)
FOREIGN_HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "10.evil.example",
    "192.168.evil.example",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example",
    "localhost@evil.example",
    "evil.example#127.0.0.1:{port}",
    "[evil.example",
    "",
)
OWN_HOSTS = ("127.0.0.1:{port}", "localhost:{port}", "127.0.0.1:7777", "localhost:7777")
"""Also those of a tunnel that has another port at its near end."""


@dataclass(frozen=True)
class Asked:
    """A server, asked as a browser would."""

    name: str
    port: int

    def __call__(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, str, str | None]:
        """Status, text, and the origin that may read it; headers are filled in with the port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.putrequest(method, path, skip_host=True)
        stated = {"host": "127.0.0.1:{port}", "content-length": str(len(body)), **headers}
        for name, value in stated.items():
            connection.putheader(name.replace("_", "-"), value.format(port=self.port))
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.getheader("access-control-allow-origin")

    def create(self, **headers: str) -> tuple[int, bool]:
        """Try to leave something behind: the status, and whether it is there."""
        name = f"n{uuid4().hex}"
        body = json.dumps({"name": name, "value": 1}).encode()
        status, _, _ = self("POST", CREATE[self.name], body, **headers)
        found, text, _ = self("POST", *SEARCH[self.name], content_type=JSON)
        assert found == 200
        return status, name in text


@pytest.fixture(scope="module", params=SERVERS)
def asked(request, tmp_path_factory) -> Iterator[Asked]:
    port = free_port()
    home = Home(tmp_path_factory.mktemp(request.param))
    with running(SERVERS[request.param](home, port), home):
        yield Asked(request.param, port)


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[Asked]:
    with embedded_s3(tmp_path_factory.mktemp("s3") / "served", "bucket") as connection:
        yield Asked("s3", int(connection.endpoint_url.rpartition(":")[2]))


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_its_own_pages_work_under_every_name_of_this_machine(asked, host):
    own = {"host": host, "origin": f"http://{host}", "content_type": JSON}
    status, is_there = asked.create(**own)
    assert status < 300
    assert is_there
    status, text, _ = asked("GET", "/", host=host)
    assert status == 200
    assert "<html" in text


def test_programs_send_no_origin_and_are_answered(asked):
    status, is_there = asked.create(content_type=JSON)
    assert status < 300
    assert is_there


@pytest.mark.parametrize("content_type", [JSON, TEXT, "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_another_page_gets_nothing_done_whatever_it_calls_its_text(asked, origin, content_type):
    assert asked.create(origin=origin, content_type=content_type) == (403, False)


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_text_without_a_type_which_needs_no_preflight_gets_nothing_done(asked, origin):
    assert asked.create(origin=origin) == (403, False)


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_another_page_is_not_let_through_by_a_preflight_and_reads_nothing(asked, origin):
    wanted = {"access_control_request_method": "POST"}
    wanted |= {"access_control_request_headers": "content-type"}
    _, _, may_read = asked("OPTIONS", CREATE[asked.name], origin=origin, **wanted)
    assert may_read is None
    _, _, may_read = asked("GET", "/", origin=origin)
    assert may_read is None


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_name_that_leads_here_is_not_answered(asked, host):
    assert asked.create(host=host, content_type=JSON) in ((403, False), (400, False))
    assert asked.create(host=host, origin=f"http://{host}", content_type=JSON)[1] is False
    status, _, _ = asked("GET", "/", host=host)
    assert status in (400, 403)


def test_the_pages_of_prefect_find_their_server_where_they_were_opened(asked):
    if asked.name == "prefect":
        _, text, _ = asked("GET", "/ui-settings", host="localhost:7777")
        assert json.loads(text)["api_url"] == "/api"


@pytest.mark.parametrize("path", ["/api/events/in", "/api/events/out", "/api/logs/out"])
def test_another_page_opens_no_socket(asked, path):
    if asked.name == "prefect":
        address = f"ws://127.0.0.1:{asked.port}{path}"
        with pytest.raises(InvalidStatus, match="403"):
            connect(address, origin="http://evil.example")
        with pytest.raises(InvalidStatus, match="403"):
            connect(address, additional_headers={"Host": "evil.example"})
        connect(address, origin=f"http://127.0.0.1:{asked.port}").close()


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS"])
def test_the_s3_server_answers_nobody_without_its_keys(s3, method, headers):
    status, _, may_read = s3(method, "/bucket/key", b"text", **headers)
    assert status in (400, 403)
    assert may_read is None
