"""Who may talk to a team server: a live token of the namespace; while there is no token at all, programs of this machine."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.team import access, app, tokens, wire
from store import errors
from tests.team.server import NAMESPACE, TeamServer, action, error_of, push_params

PARAMS: dict[str, Any] = {
    wire.FULL: {"namespace": NAMESPACE},
    wire.PULL: {"namespace": NAMESPACE, "cursor": "x"},
    wire.PUSH: push_params(action("a", "one")),
    wire.STATUS: {"namespace": NAMESPACE},
}
METHODS = [*PARAMS, "SendMessage", "unknown"]


def call(server: TeamServer, method: str, token: str | None, **headers: str) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": PARAMS.get(method, {})}
    return server.post(body, token, **headers)


def listen(server: TeamServer, token: str | None, namespace: str = NAMESPACE, **headers: str) -> httpx.Response:
    """The answer to a listener that has to be refused."""
    sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    return server.http.get(wire.EVENTS_PATH, params={"namespace": namespace}, headers=sent)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_is_there_for_one_without_a_live_token(server: TeamServer, method: str) -> None:
    """As soon as there is a token every request needs one, on loopback too."""
    token, text = server.token()
    server.revoke(token)

    for given in (None, "wrong", text, text[:-1], token.token_id, token.digest, "\u00e9"):
        response = call(server, method, given)

        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith('Bearer realm="cleveragents"')
        assert ('error="invalid_token"' in response.headers["WWW-Authenticate"]) == (given is not None)
        assert error_of(response.json()) == (wire.FORBIDDEN, "unauthorized")


@pytest.mark.parametrize("method", PARAMS)
def test_a_token_of_another_namespace_is_forbidden(server: TeamServer, method: str) -> None:
    _, text = server.token("others")

    assert error_of(call(server, method, text).json()) == (wire.FORBIDDEN, "forbidden")


def test_a_reading_token_reads_and_writes_nothing(server: TeamServer) -> None:
    _, text = server.token(role="read")

    assert error_of(call(server, wire.PUSH, text).json()) == (wire.FORBIDDEN, "forbidden")
    assert server.status(text).entities == 0
    assert server.result(wire.FULL, PARAMS[wire.FULL], text)["entities"] == []


def test_a_writing_token_marks_what_it_pushed(server: TeamServer) -> None:
    _, text = server.token(name="Ada's laptop")

    server.put("a", "one", token=text)

    (entity,) = server.result(wire.FULL, PARAMS[wire.FULL], text)["entities"]
    assert entity["updated_by"] == "Ada's laptop"


def test_the_last_token_revoked_does_not_open_the_server(server: TeamServer) -> None:
    token, _ = server.token()
    server.revoke(token)

    assert call(server, wire.STATUS, None).status_code == 401


def test_a_token_counts_and_stops_to_count_at_once(server: TeamServer) -> None:
    """They are made by another process while the server runs."""
    assert server.status().entities == 0
    token, text = server.token()
    assert call(server, wire.STATUS, None).status_code == 401
    assert server.status(text).entities == 0

    server.revoke(token)

    assert call(server, wire.STATUS, text).status_code == 401


def test_listeners_need_the_same(server: TeamServer) -> None:
    token, text = server.token()
    _, foreign = server.token("others")

    assert listen(server, None).status_code == 401
    assert listen(server, "wrong").status_code == 401
    assert listen(server, foreign).status_code == 403
    assert listen(server, text, "local").status_code == 400
    server.revoke(token)
    assert listen(server, text).status_code == 401


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
def test_only_bearers_are_heard(server: TeamServer, scheme: str) -> None:
    _, text = server.token()

    assert call(server, wire.STATUS, None, Authorization=f"{scheme} {text}".strip()).status_code == 401


def test_the_scheme_may_be_spelled_in_any_case(server: TeamServer) -> None:
    _, text = server.token()

    assert call(server, wire.STATUS, None, Authorization=f"bEARER  {text}").status_code == 200


# --- while there is no token ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:80", "192.168.1.5", "[2001:db8::1]:80", "localhost.example.org", "x"]
)
def test_without_tokens_the_server_goes_by_a_loopback_name_only(standing: TeamServer, host: str) -> None:
    """Otherwise any web page could point a name of its own at this machine."""
    response = call(standing, wire.STATUS, None, Host=host)

    assert response.status_code == 403
    assert error_of(response.json()) == (wire.FORBIDDEN, "forbidden")
    assert listen(standing, None, Host=host).status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8420", "127.0.0.1", "127.1.2.3:80", "[::1]:8420", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_loopback_has_many_names(standing: TeamServer, host: str) -> None:
    assert call(standing, wire.STATUS, None, Host=host).status_code == 200


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://localhost:8420"])
def test_without_tokens_no_web_page_is_answered(standing: TeamServer, origin: str) -> None:
    assert call(standing, wire.STATUS, None, Origin=origin).status_code == 403
    assert listen(standing, None, Origin=origin).status_code == 403


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "fe80::1%eth0", ""])
def test_without_tokens_nobody_from_elsewhere_is_answered(server: TeamServer, address: str) -> None:
    """A connection from elsewhere, as the application gets to see it."""

    async def ask() -> httpx.Response:
        application = app.build(server.database)
        transport = httpx.ASGITransport(application, client=(address, 1234))
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        async with application.router.lifespan_context(application), client:
            return await client.post(wire.RPC_PATH, json={"jsonrpc": "2.0", "id": 1, "method": wire.STATUS})

    assert asyncio.run(ask()).status_code == 403


def test_a_token_that_nobody_needs_does_no_harm(standing: TeamServer) -> None:
    assert call(standing, wire.STATUS, "anything").status_code == 200


# --- the tokens themselves -----------------------------------------------------------------------------------------------


def test_a_token_is_stored_as_a_hash_only(server: TeamServer) -> None:
    token, text = server.token(name="mine")
    secret = text.removeprefix(f"ca_{token.token_id}_")
    written = b"".join(path.read_bytes() for path in server.database.parent.iterdir())

    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)
    assert token.digest.encode() in written
    assert secret.encode() not in written
    assert secret not in json.dumps(server.write(lambda tx: [tuple(row) for row in tx.execute("SELECT * FROM tokens")]))


def test_tokens_are_listed_with_their_fate(server: TeamServer) -> None:
    first, _ = server.token(name="first")
    second, _ = server.token("others", "read")
    revoked = server.revoke(first)

    listed = server.write(tokens.every)

    assert listed == [revoked, second]
    assert revoked.revoked_at is not None
    assert server.revoke(first) == revoked
    assert second.name == second.token_id
    view = tokens.view(revoked)
    assert (view.token_id, view.namespace, view.role, view.name) == (first.token_id, NAMESPACE, "write", "first")
    assert view.revoked_at is not None
    assert not hasattr(view, "digest")


def test_what_is_no_token_cannot_be_revoked(server: TeamServer) -> None:
    with pytest.raises(errors.NotFoundError, match="no token 'x'"):
        server.write(lambda tx: tokens.revoke(tx, "x"))


@pytest.mark.parametrize(
    ("namespace", "role", "name"),
    [
        ("local", "write", None),
        ("builtin", "write", None),
        ("Crew", "write", None),
        ("a/b", "write", None),
        (NAMESPACE, "admin", None),
        (NAMESPACE, "write", ""),
        (NAMESPACE, "write", "x" * 65),
        (NAMESPACE, "write", "two\nlines"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(
    standing: TeamServer, namespace: str, role: str, name: str | None
) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        standing.token(namespace, role, name)

    assert standing.status().entities == 0  # it still needs none


def test_the_rates_of_very_many_clients_are_forgotten(tmp_path: Path) -> None:
    rates = access.Rates(rate=0.001, burst=1)
    for number in range(access.REMEMBERED + 1):
        rates.check(str(number))

    rates.check("0")  # it would have been refused
