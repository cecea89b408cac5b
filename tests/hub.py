"""A Hub on this machine: the endpoints that the client of Hugging Face asks for, over folders.

A repository is `ROOT/KIND/OWNER/NAME/BRANCH/`, with KIND `models` or `datasets`. What is pushed
becomes the files of its branch.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


class HubServer(ThreadingHTTPServer):
    """Its repositories, and what was pushed."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.large: dict[str, bytes] = {}
        """Large files that were sent before the commit that names them, by sha256."""
        self.tokens: set[str | None] = set()
        """What was sent as authorization with what was pushed."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def repository(self, kind: str, name: str) -> Path:
        return self.root / kind / name

    def variables(self, home: Path) -> dict[str, str]:
        """The environment of a process for which this is the Hub; its client keeps in `home`."""
        return {
            **os.environ,
            "HF_ENDPOINT": self.address,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            # The server speaks LFS; Xet's own store of chunks is another service.
            "HF_HUB_DISABLE_XET": "1",
        }


@contextmanager
def hub_of(root: Path) -> Iterator[HubServer]:
    """A server over `root` for as long as the block."""
    server = HubServer(root)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _commit(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = self._parts()
        if parts[0] != "api":
            self._send_file(parts)
        elif len(parts) < 4:
            # What the client would like to know, such as who it is, and does without.
            self._send_json({"name": "me", "type": "user", "orgs": [], "auth": {}})
        else:
            repository = self.server.repository(parts[1], "/".join(parts[2:4]))
            self._send_json(self._described(repository, parts[4:]))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        parts = self._parts()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if parts[:3] == ["api", "repos", "create"]:
            self._created(json.loads(body))
        elif parts[-1] == "batch":
            self._send_json(self._batch(json.loads(body)))
        elif parts[1:] == ["validate-yaml"]:
            self._send_json({"errors": [], "warnings": []})
        elif parts[4] == "preupload":
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            self._send_json({"files": modes})
        else:
            self._committed(parts, body)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.large[hashlib.sha256(data).hexdigest()] = data
        self._send(b"", {})

    def _parts(self) -> list[str]:
        return unquote(urlsplit(self.path).path).strip("/").split("/")

    def _described(self, repository: Path, parts: list[str]) -> Any:
        branches = sorted(path.name for path in repository.iterdir())
        if parts[:1] == ["refs"]:
            listed = [
                {"name": b, "ref": f"refs/heads/{b}", "targetCommit": _commit(b)}
                for b in {*branches, "main"}
            ]
            return {"branches": listed, "converts": [], "tags": []}
        branch = _branch(repository, parts[1] if parts else "main")
        if parts[:1] == ["tree"]:
            return self._tree(branch, "".join(f"{part}/" for part in parts[2:]))
        siblings = [{"rfilename": name} for name in _names(branch)]
        name = "/".join(repository.parts[-2:])
        return {"id": name, "sha": _commit(branch.name), "siblings": siblings, "tags": []}

    def _tree(self, branch: Path, folder: str) -> list[Any]:
        inside = [name for name in _names(branch) if name.startswith(folder)]
        if "recursive=true" in self.path:
            return [self._entry(branch, name) for name in inside]
        nested = {folder + name.removeprefix(folder).partition("/")[0] for name in inside} - {
            *inside
        }
        folders = [{"type": "directory", "path": name, "oid": _commit(name)} for name in nested]
        return folders + [
            self._entry(branch, name) for name in inside if "/" not in name[len(folder) :]
        ]

    def _entry(self, branch: Path, name: str) -> dict[str, Any]:
        size = (branch / name).stat().st_size
        return {"type": "file", "path": name, "oid": _commit(name), "size": size}

    def _send_file(self, parts: list[str]) -> None:
        kind = "datasets" if parts[0] == "datasets" else "models"
        owner, name, _, revision, *path = parts[1:] if kind == "datasets" else parts
        branch = _branch(self.server.repository(kind, f"{owner}/{name}"), revision)
        file = branch / "/".join(path)
        if not file.is_file():
            self._send(b"", {"X-Error-Code": "EntryNotFound"}, 404)
            return
        data = file.read_bytes()
        etag = hashlib.sha256(data).hexdigest()
        self._send(data, {"ETag": f'"{etag}"', "X-Repo-Commit": _commit(branch.name)})

    def _created(self, asked: dict[str, Any]) -> None:
        owner = asked.get("organization") or "me"
        repository = self.server.repository("models", f"{owner}/{asked['name']}")
        (repository / "main").mkdir(parents=True, exist_ok=True)
        (repository / "main" / ".visibility").write_text(asked["visibility"])
        self._send_json({"url": f"{self.server.address}/{owner}/{asked['name']}"})

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        upload = {"upload": {"href": f"{self.server.address}/large", "header": {}}}
        objects = [
            {"oid": one["oid"], "size": one["size"], "actions": upload} for one in asked["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _committed(self, parts: list[str], body: bytes) -> None:
        self.server.tokens.add(self.headers["Authorization"])
        branch = self.server.repository(parts[1], "/".join(parts[2:4])) / parts[5]
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                continue
            target = branch / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry["key"] == "deletedFile":
                target.unlink()
            elif entry["key"] == "lfsFile":
                target.write_bytes(self.server.large[value["oid"]])
            else:
                target.write_bytes(base64.b64decode(value["content"]))
        where = f"{self.server.address}/{'/'.join(parts[2:4])}/commit/{_commit(parts[5])}"
        self._send_json({"success": True, "commitOid": _commit(parts[5]), "commitUrl": where})

    def _send_json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _branch(repository: Path, revision: str) -> Path:
    return next(
        path for path in repository.iterdir() if revision in (path.name, _commit(path.name))
    )


def _names(branch: Path) -> list[str]:
    files = sorted(path for path in branch.rglob("*") if path.is_file())
    return [path.relative_to(branch).as_posix() for path in files if path.name != ".visibility"]
