"""The team server's agent card, of A2A 1.0: where it is, what it speaks, and that a token is needed."""

import hashlib
import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from daemon.team import answers, wire
from daemon.team.answers import Refused
from store.version import VERSION

MAX_AGE_SECONDS = 300

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_SCHEME = "bearer"


def answer(request: Request, server_id: str, *, needs_token: bool) -> Response:
    """The card, or 304 for a client that has it.

    Raises:
        Refused: 400, the request does not say by which name the server was reached.
    """
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Refused(400, wire.INVALID_REQUEST, "usage", "the Host header does not name a host")
    root: str = request.scope.get("root_path", "")
    url = f"{request.url.scheme}://{host}{root}{wire.RPC_PATH}"
    body = answers.encode(_card(url, server_id, needs_token=needs_token))
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}", "Vary": "Host"}
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return answers.document(body, headers=headers)


def _matches(given: str, tag: str) -> bool:
    tags = [part.strip().removeprefix("W/") for part in given.split(",")]
    return tag in tags or "*" in tags


def _card(url: str, server_id: str, *, needs_token: bool) -> dict[str, Any]:
    extension = {
        "uri": wire.EXTENSION,
        "description": "Shares the definitions of actions, actors and projects in a team.",
        "required": False,
        "params": {"methods": [wire.FULL, wire.PULL, wire.PUSH, wire.STATUS], "serverId": server_id},
    }
    return {
        "name": "CleverAgents team server",
        "description": "Hands definitions of actions, actors and projects between the machines of a team."
        " It does not run plans: the methods of the standard are answered with UnsupportedOperationError.",
        "version": VERSION,
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": wire.A2A_VERSION},
        ],
        "capabilities": {"streaming": False, "pushNotifications": False, "extensions": [extension]},
        "securitySchemes": {_SCHEME: {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {_SCHEME: {"list": []}}}] if needs_token else [],
        "defaultInputModes": ["application/json"],
        "defaultOutputModes": ["application/json"],
        "skills": [
            {
                "id": "sync",
                "name": "Sync of definitions",
                "description": f"Pull and push shared definitions, with the methods of {wire.EXTENSION}.",
                "tags": ["sync"],
            }
        ],
    }
