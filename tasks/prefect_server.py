"""`python -m tasks.prefect_server`: Prefect's server, which answers nobody but its own pages and
programs.

Prefect has no list of hosts, and takes a request of any web page that the user of a browser has
open: a page cannot read the answer where CORS is closed, but a POST of plain text starts a run all
the same, and a name that leads to 127.0.0.1 makes the page one of the server's own (DNS rebinding).
So a request passes only when it was sent to a name of this server, and, where a browser says from
which page it comes, from a page of this server. Programs send no origin.

Imports nothing of relex: the image of the server has nothing but Prefect.
"""

import argparse
import os
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OWN_NAMES = ("127.0.0.1", "localhost", "::1")
REFUSAL = "refused: this server answers its own pages only, under {names}\n"


class OwnPagesOnly:
    """Refuses with 403 what was sent to another name than `names`, or from another page."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_own(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            names = ", ".join(sorted(self._names))
            refusal = PlainTextResponse(REFUSAL.format(names=names), status_code=403)
            await refusal(scope, receive, send)

    def _is_own(self, scope: Scope) -> bool:
        hosts = _values(scope, b"host")
        origins = [origin.partition("://")[2] for origin in _values(scope, b"origin")]
        return (
            len(hosts) == 1
            and _name(hosts[0]) in self._names
            and all(origin == hosts[0] for origin in origins)
        )


def _values(scope: Scope, header: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for name, value in scope["headers"] if name == header]


def _name(host: str) -> str | None:
    """`localhost` of `localhost:4200`."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def let_writers_wait() -> None:
    """Over SQLite, a transaction that will write asks for the lock when it begins.

    Prefect 3.7 begins most of them as readers. One that then wants to write, after another has
    written, cannot be made to wait by any timeout: it fails with "database is locked", and whoever
    asked, such as a form that was submitted, gets 503 for an answer. With 24 at once nearly all do.
    """
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction

    def begin_as_writer(
        self: Any, session: Any, with_for_update: bool = False
    ) -> AbstractAsyncContextManager[Any]:
        return begin(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = begin_as_writer  # type: ignore[assignment, method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tasks.prefect_server", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument(
        "--allowed-hosts",
        default="",
        help="names beside those of this machine under which it is asked, separated by commas",
    )
    arguments = parser.parse_args()
    # Relative, so that the pages find their server under whatever name and port they were opened.
    os.environ["PREFECT_SERVER_UI_API_URL"] = "/api"
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{arguments.port}"
    # Prefect reads its settings when it is imported, so not before they are set.
    from prefect.server.api.server import create_app

    let_writers_wait()
    names = (*OWN_NAMES, *filter(None, arguments.allowed_hosts.lower().split(",")))
    app = OwnPagesOnly(create_app(final=True), names)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="info", access_log=False)


if __name__ == "__main__":
    main()
