"""A team server as its host has it, `ca server start`, and the requests of a client, with nothing of ours between."""

import json
from pathlib import Path
from typing import Any

import httpx
import psutil

from daemon.team import wire
from tests.homes import Home

NAMESPACE = "team"


class Host:
    """A home that hosts a team server."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.data = home.home / "data"
        self.pid_file = self.data / "server.pid"
        self.log = home.home / "state" / "logs" / "server.log"

    def start(self, *options: str, **settings: Any) -> dict[str, Any]:
        """What `server start` says; at a free port."""
        return self.home.data("server", "start", "--port", "0", *options, **settings)

    def refused(self, *options: str, code: int) -> dict[str, Any]:
        """The error of a `server start`."""
        return self.home.error("server", "start", "--port", "0", *options, code=code)

    def stop(self, *options: str) -> dict[str, Any]:
        return self.home.data("server", "stop", *options)

    def token(self, *options: str) -> str:
        """A new token."""
        return self.home.data("server", "token", "create", "--namespace", NAMESPACE, *options)["token"]

    def said(self) -> str:
        """The log."""
        return self.log.read_text()

    def processes(self) -> list[psutil.Process]:
        """The server's processes in this home, the daemon left out."""
        return [found for found in self.home.processes() if "start" not in _words(found)]

    def workers(self, master: int) -> list[psutil.Process]:
        """The processes that answer for a master."""
        children = psutil.Process(master).children()
        return [found for found in children if "--multiprocessing-fork" in _words(found)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def call(url: str, method: str, token: str | None = None, **params: Any) -> Any:
    """The result of one JSON-RPC call, on a connection of its own."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"namespace": NAMESPACE, **params}}
    answer = httpx.post(f"{url}{wire.RPC_PATH}", json=body, headers=headers, timeout=20)
    answer.raise_for_status()
    document = answer.json()
    assert "error" not in document, document
    return document["result"]


def push(url: str, name: str, content: str | None = None, token: str | None = None) -> dict[str, Any]:
    """What became of a new actor that is pushed."""
    change = {"kind": "actor", "name": name, "content": content or f"name: {name}\n"}
    results = call(url, wire.PUSH, token, changes=[change], idempotency_key=f"key-{name}")["results"]
    assert [result["status"] for result in results] == ["accepted"]
    return results[0]


def names(url: str, token: str | None = None) -> list[str]:
    """Everything in the namespace."""
    return [entity["name"] for entity in call(url, wire.FULL, token)["entities"]]


def read_pid_file(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
