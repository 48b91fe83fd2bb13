"""A team server between homes, hosted by one of them with `ca server start`, and somebody else who changes things there."""

import contextlib
import json
import ssl
import threading
from collections.abc import Generator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from daemon.team import wire
from tests.homes import Home

CERTIFICATES = Path(__file__).parents[1] / "sync" / "certificates"


class Team:
    """The team server that a home hosts."""

    def __init__(self, host: Home) -> None:
        self.host = host
        self._port = 0
        self.url = ""
        self.start()

    def start(self) -> None:
        """Have it run, at the address that it had before; one that runs goes on."""
        document = self.host.document("server", "start", "--port", str(self._port), code=None)
        self.url = document["error"]["detail"]["url"] if document["status"] == "error" else document["data"]["url"]
        self._port = httpx.URL(self.url).port or 0

    def stop(self) -> None:
        """Have it gone."""
        self.host.data("server", "stop")

    def token(self, namespace: str, *options: str) -> dict[str, Any]:
        """A new token."""
        return self.host.data("server", "token", "create", "--namespace", namespace, *options)

    def call(self, method: str, token: str | None = None, **params: Any) -> dict[str, Any]:
        """The result of a method, called as any program may."""
        headers = {wire.VERSION_HEADER: wire.A2A_VERSION, **({"Authorization": f"Bearer {token}"} if token else {})}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = httpx.post(f"{self.url}{wire.RPC_PATH}", json=body, headers=headers, trust_env=False).json()
        assert "result" in answer, answer
        return answer["result"]

    def entities(self, namespace: str, token: str | None = None) -> dict[str, dict[str, Any]]:
        """What the server has, by name."""
        return {found["name"]: found for found in self.call(wire.FULL, token, namespace=namespace)["entities"]}

    def push(self, whole_name: str, content: str | None, *, kind: str = "action") -> int:
        """Somebody else, who has seen the newest version, changes or deletes (None) something; its revision then."""
        namespace, _, name = whole_name.partition("/")
        known = self.entities(namespace).get(name)
        change = {
            "kind": kind,
            "name": name,
            "base_revision": known["revision"] if known else 0,
            "content": content,
            "deleted": content is None,
        }
        key = self.host.fresh("key")
        result = self.call(wire.PUSH, namespace=namespace, changes=[change], idempotency_key=key)["results"][0]
        assert result["status"] == "accepted", result
        return result["revision"]


def connected(home: Home, team: Team, namespace: str, *options: str) -> Home:
    """The home, sharing a namespace; it syncs when it is told to."""
    home.set("server.sync.auto", "false")
    home.data("server", "connect", team.url, "--namespace", namespace, *options)
    return home


def action_text(name: str, command: str) -> str:
    """The file of an action of one step."""
    return json.dumps({"name": name, "steps": [{"id": "s1", "run": command}]})


def edit(home: Home, name: str, command: str) -> str:
    """Make an action of one step, or change it; its content."""
    content = action_text(name, command)
    file = home.work / f"{home.fresh('edit')}.yaml"
    file.write_text(content)
    home.data("action", "create", str(file), "--update")
    return content


def conflict(home: Home, team: Team, name: str) -> None:
    """Bring an action to where this home and the server have different versions of it."""
    edit(home, name, "echo base")
    home.data("sync", "now")
    team.push(name, action_text(name, "echo theirs"))
    edit(home, name, "echo ours")
    home.data("sync", "now")


Answers = Mapping[str, tuple[int, str, str]]
"""Status, content type and body, by path; everything else is a page that is not there."""


@contextlib.contextmanager
def answering(answers: Answers, *, certificate: str | None = None) -> Generator[str]:
    """The URL of a server that is no team server of ours, or pretends to be one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, text = answers.get(self.path, (404, "text/html", "<h1>Not here</h1>"))
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  http.server calls it so

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as above
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def card(url: str, version: str) -> str:
    """An agent card that speaks this version of A2A."""
    return json.dumps(
        {
            "name": "other",
            "description": "",
            "version": "9.9.9",
            "supportedInterfaces": [
                {"url": f"{url}{wire.RPC_PATH}", "protocolBinding": "JSONRPC", "protocolVersion": version}
            ],
            "capabilities": {"extensions": [{"uri": wire.EXTENSION, "required": False}]},
        }
    )


def closed_port() -> str:
    """A URL at which nobody listens."""
    with answering({}) as url:
        return url
