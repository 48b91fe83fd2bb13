"""JSON-RPC and HTTP as the team server speaks them: every fault has its code, and none harms the next request."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from daemon.team import app, wire
from store.version import VERSION
from tests.team.server import NAMESPACE, TeamServer, action, beginning, error_of, push_params, serving

STATUS = {"jsonrpc": "2.0", "id": 1, "method": wire.STATUS, "params": {"namespace": NAMESPACE}}


def request(**changes: Any) -> dict[str, Any]:
    """A request for the status that is right but for these keys; None takes one out."""
    return {key: value for key, value in {**STATUS, **changes}.items() if value is not None}


# --- JSON-RPC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b'{"jsonrpc": "2.0", "id": 1, "method": "x"} more',
        b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"a": "\xff"}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"a": NaN}}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"a": "\\ud800"}}',
        b"\xef\xbb\xbf" + json.dumps(STATUS).encode(),
        json.dumps(STATUS).encode("utf-16"),
        b"[1, 2",
        b"[" * 100_000,
        b'{"jsonrpc": "2.0", "id": 1, "method": "x", "params": ' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_a_parse_error(standing: TeamServer, body: bytes) -> None:
    response = standing.post(body)

    assert response.status_code == 200
    assert response.json()["id"] is None
    assert error_of(response.json()) == (wire.PARSE_ERROR, "protocol_error")


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        ([STATUS], None),
        ([], None),
        (b"null", None),
        (b'"text"', None),
        (b"17", None),
        ({}, None),
        (request(jsonrpc="1.0"), 1),
        (request(jsonrpc=None), 1),
        (request(jsonrpc=2.0), 1),
        (request(id=None), None),
        (b'{"jsonrpc": "2.0", "id": null, "method": "x"}', None),
        (request(id=1.5), None),
        (request(id=True), None),
        (request(id=["a"]), None),
        (request(id={"a": 1}), None),
        (request(method=None), 1),
        (request(method=5, id="mine"), "mine"),
    ],
)
def test_what_is_no_request_is_refused(standing: TeamServer, body: Any, request_id: str | int | None) -> None:
    """Batches and notifications too; the id is in the answer when it could be read."""
    document = standing.post(body).json()

    assert error_of(document) == (wire.INVALID_REQUEST, "protocol_error")
    assert document["id"] == request_id


@pytest.mark.parametrize("request_id", ["", "a" * 1000, 0, -5, 2**63, 10**30])
def test_the_answer_carries_the_id_of_its_request(standing: TeamServer, request_id: str | int) -> None:
    assert standing.post(request(id=request_id)).json()["id"] == request_id


def test_an_unknown_method_is_told_which_there_are(standing: TeamServer) -> None:
    document = standing.answer("sync/pull", {})

    assert error_of(document)[0] == wire.METHOD_NOT_FOUND
    assert wire.PULL in document["error"]["message"]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (wire.STATUS, None),
        (wire.STATUS, []),
        (wire.STATUS, {}),
        (wire.STATUS, {"namespace": 5}),
        (wire.STATUS, {"namespace": "Not Legal"}),
        (wire.STATUS, {"namespace": ""}),
        (wire.STATUS, {"namespace": "a/b"}),
        (wire.STATUS, {"namespace": "local"}),
        (wire.STATUS, {"namespace": "builtin"}),
        (wire.PULL, {"namespace": NAMESPACE}),
        (wire.PULL, {"namespace": NAMESPACE, "cursor": 5}),
        (wire.FULL, {"namespace": NAMESPACE, "limit": 0}),
        (wire.FULL, {"namespace": NAMESPACE, "limit": "many"}),
        (wire.FULL, {"namespace": NAMESPACE, "page_token": "next"}),
        (wire.PUSH, {"namespace": NAMESPACE, "changes": {}}),
        (wire.PUSH, {"namespace": "local", "changes": [], "idempotency_key": "k"}),
        (wire.PUSH, {"namespace": NAMESPACE, "changes": [], "idempotency_key": ""}),
        (wire.PUSH, {"namespace": NAMESPACE, "changes": [], "idempotency_key": "k" * 201}),
        (wire.PUSH, {"namespace": NAMESPACE, "changes": [], "idempotency_key": "k", "cursor": 5}),
        (wire.PUSH, {"namespace": NAMESPACE, "changes": [{"kind": "plan", "name": "a"}], "idempotency_key": "k"}),
        (wire.PUSH, push_params(action("a", "b", base=-1))),
        (wire.PUSH, push_params(*[action("a", "b")] * (wire.PUSH_LIMIT + 1))),
    ],
)
def test_parameters_that_do_not_fit_are_refused(standing: TeamServer, method: str, params: Any) -> None:
    assert standing.error(method, params) == (wire.INVALID_PARAMS, "invalid_argument")


@pytest.mark.parametrize("cursor", ["", "yesterday"])
def test_a_cursor_that_cannot_be_read_asks_for_a_full_sync(standing: TeamServer, cursor: str) -> None:
    """It may be of another version of the server; the client gets out of it by itself."""
    push: dict[str, Any] = {"namespace": NAMESPACE, "changes": [], "idempotency_key": "k", "cursor": cursor}

    assert standing.error(wire.PULL, {"namespace": NAMESPACE, "cursor": cursor})[0] == wire.FULL_SYNC_REQUIRED
    assert standing.error(wire.PUSH, push)[0] == wire.FULL_SYNC_REQUIRED


def test_unknown_parameters_are_ignored(standing: TeamServer) -> None:
    """A newer client may send more."""
    assert standing.result(wire.STATUS, {"namespace": NAMESPACE, "colour": "blue"})["entities"] == 0


def test_no_base_is_told_like_an_absent_one(server: TeamServer) -> None:
    change = {"kind": "action", "name": "a", "content": "name: team/a\nsteps: [{run: 'true'}]\n", "base_revision": None}
    push = {"namespace": NAMESPACE, "changes": [change], "idempotency_key": "k"}

    assert server.result(wire.PUSH, push)["results"][0]["status"] == "accepted"


@pytest.mark.parametrize("method", wire.A2A_METHODS)
def test_the_methods_of_the_standard_are_unsupported(standing: TeamServer, method: str) -> None:
    assert standing.error(method, {})[0] == wire.UNSUPPORTED_OPERATION


@pytest.mark.parametrize("version", ["0.3", "2.0", "one", "1.", "1.0.0", "11"])
@pytest.mark.parametrize("method", [wire.STATUS, "SendMessage", "unknown"])
def test_another_version_of_the_protocol_is_refused(standing: TeamServer, version: str, method: str) -> None:
    document = standing.post(request(method=method), **{wire.VERSION_HEADER: version}).json()

    assert error_of(document) == (wire.VERSION_NOT_SUPPORTED, "version_mismatch")


def test_no_version_is_taken_for_ours(standing: TeamServer) -> None:
    """Also by the methods of the standard, which are unsupported either way."""
    ours = standing.post(request(), **{wire.VERSION_HEADER: ""}).json()
    standard = standing.post(request(method="GetTask"), **{wire.VERSION_HEADER: ""}).json()

    assert "result" in ours
    assert error_of(standard)[0] == wire.UNSUPPORTED_OPERATION


def test_a_later_minor_version_is_taken(standing: TeamServer) -> None:
    assert "result" in standing.post(request(), **{wire.VERSION_HEADER: "1.7"}).json()


def test_the_path_may_end_with_a_slash(standing: TeamServer) -> None:
    response = standing.http.post(f"{wire.RPC_PATH}/", json=STATUS)

    assert response.json()["result"]["entities"] == 0


def test_a_failure_of_the_store_is_an_internal_error_that_tells_nothing(server: TeamServer) -> None:
    server.write(lambda tx: tx.execute("ALTER TABLE changes RENAME TO elsewhere"))

    document = server.answer(wire.STATUS, {"namespace": NAMESPACE})

    assert error_of(document) == (wire.INTERNAL, "internal")
    assert "changes" not in json.dumps(document)


# --- HTTP ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/live", "/ready"])
def test_the_probes_answer_without_a_token(server: TeamServer, path: str) -> None:
    server.token()

    response = server.http.get(path)

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "version": VERSION}


def test_a_server_that_stops_is_alive_but_not_ready(server: TeamServer) -> None:
    server.end_streams()

    assert server.http.get("/ready").status_code == 503
    assert server.http.get("/live").status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_declared_as_json_is_refused(standing: TeamServer, content_type: str) -> None:
    """A form of a web page could send those without asking."""
    response = standing.http.post(wire.RPC_PATH, content=json.dumps(STATUS), headers={"Content-Type": content_type})

    assert response.status_code == 415
    assert error_of(response.json())[0] == wire.INVALID_REQUEST


def test_a_compressed_body_is_refused(standing: TeamServer) -> None:
    assert standing.post(STATUS, **{"Content-Encoding": "gzip"}).status_code == 415


def test_a_charset_beside_the_content_type_is_fine(standing: TeamServer) -> None:
    response = standing.post(STATUS, **{"Content-Type": "Application/JSON; charset=utf-8"})

    assert "result" in response.json()


def test_other_verbs_are_refused(standing: TeamServer) -> None:
    assert standing.http.get(wire.RPC_PATH).status_code == 405
    assert standing.http.get("/elsewhere").status_code == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_10_mb_is_refused_and_the_client_gets_to_read_why(standing: TeamServer, chunked: bool) -> None:  # noqa: FBT001  a case
    body = b" " * (10 * 1024 * 1024)
    parts = (body[start : start + 65536] for start in range(0, len(body), 65536))
    headers = {"Content-Type": "application/json"}
    response = standing.http.post(wire.RPC_PATH, content=parts if chunked else body, headers=headers)

    assert response.status_code == 413
    assert error_of(response.json())[0] == wire.INVALID_REQUEST
    assert standing.status().entities == 0


def test_a_body_of_8_mib_is_taken(standing: TeamServer) -> None:
    body = json.dumps(STATUS).encode()

    assert "result" in standing.post(body + b" " * (wire.BODY_LIMIT - len(body))).json()


def raw(server: TeamServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def head(server: TeamServer, length: int, *more: str) -> bytes:
    lines = [
        f"POST {wire.RPC_PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_body_that_comes_too_slowly_ends_its_connection_only(tmp_path: Path) -> None:
    with serving(tmp_path, limits=app.Limits(rate=0, body_seconds=0.3)) as server, raw(server) as slow:
        slow.sendall(head(server, 100) + b"{")

        assert server.status().entities == 0
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_goes_away_in_mid_body_leaves_nothing(standing: TeamServer) -> None:
    with raw(standing) as leaving:
        leaving.sendall(head(standing, 100) + b"{")

    assert standing.status().entities == 0


def test_a_refusal_comes_before_the_body_is_sent(server: TeamServer) -> None:
    server.token()
    with raw(server) as client:
        client.sendall(head(server, 1000))

        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_is_refused_while_it_sends_is_not_cut_off(standing: TeamServer) -> None:
    """Whoever does not read before all is sent would otherwise see a broken connection instead of the reason."""
    body = b" " * (10 * 1024 * 1024)
    with raw(standing) as client:
        client.sendall(head(standing, len(body)) + body)

        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_too_many_requests_are_told_when_to_come_again(tmp_path: Path) -> None:
    """Counted for each token, and for each address without any."""
    with serving(tmp_path, limits=app.Limits(rate=0.01, burst=2)) as server:
        _, mine = server.token()
        _, yours = server.token()
        codes = [server.post(STATUS, mine).status_code for _ in range(3)]
        refused = server.post(STATUS, mine)

        assert codes == [200, 200, 429]
        assert 1 <= int(refused.headers["Retry-After"]) <= 200
        assert server.post(STATUS, yours).status_code == 200
        assert [server.post(STATUS, "wrong").status_code for _ in range(3)] == [401, 401, 429]
        assert server.http.get("/health").status_code == 200


def test_a_rate_of_nothing_is_no_limit(standing: TeamServer) -> None:
    assert {standing.post(STATUS).status_code for _ in range(600)} == {200}


# --- the agent card ------------------------------------------------------------------------------------------------------


def test_the_card_says_where_the_server_is_and_what_it_speaks(standing: TeamServer) -> None:
    response = standing.http.get(wire.CARD_PATH)
    card = response.json()

    assert response.headers["Content-Type"] == "application/json"
    assert card["supportedInterfaces"] == [
        {"url": f"{standing.url}{wire.RPC_PATH}", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ]
    (extension,) = card["capabilities"]["extensions"]
    assert (extension["uri"], extension["required"]) == (wire.EXTENSION, False)
    assert extension["params"]["methods"] == [wire.FULL, wire.PULL, wire.PUSH, wire.STATUS]
    assert extension["params"]["serverId"] == standing.status().server_id
    assert card["capabilities"]["streaming"] is False
    assert card["version"] == VERSION
    assert card["securityRequirements"] == []
    assert {"name", "description", "skills", "defaultInputModes", "defaultOutputModes"} <= card.keys()


def test_the_card_asks_for_a_token_once_there_is_one(server: TeamServer) -> None:
    before = server.http.get(wire.CARD_PATH)
    server.token()
    after = server.http.get(wire.CARD_PATH, headers={"If-None-Match": before.headers["ETag"]})

    assert after.status_code == 200
    (requirement,) = after.json()["securityRequirements"]
    assert requirement["schemes"].keys() == after.json()["securitySchemes"].keys()


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_card_that_is_known_is_not_sent_again(standing: TeamServer, form: str) -> None:
    first = standing.http.get(wire.CARD_PATH)
    again = standing.http.get(wire.CARD_PATH, headers={"If-None-Match": form.format(first.headers["ETag"])})

    assert first.headers["Cache-Control"] == "public, max-age=300"
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["ETag"] == first.headers["ETag"]


def test_the_card_has_the_name_by_which_it_was_reached(standing: TeamServer) -> None:
    """Behind a proxy that is another one."""
    there = standing.http.get(wire.CARD_PATH, headers={"Host": "team.example.org"})

    assert there.json()["supportedInterfaces"][0]["url"] == f"http://team.example.org{wire.RPC_PATH}"
    assert there.headers["Vary"] == "Host"
    assert there.headers["ETag"] != standing.http.get(wire.CARD_PATH).headers["ETag"]


@pytest.mark.parametrize("host", ['a"b', "a b", "a/b", "user@host", "a:b"])
def test_a_host_that_is_none_gets_no_card(standing: TeamServer, host: str) -> None:
    assert standing.http.get(wire.CARD_PATH, headers={"Host": host}).status_code == 400


def test_a_page_of_the_largest_contents_stays_bounded(server: TeamServer) -> None:
    """A page ends when its contents are long enough, whatever the limit says."""
    for number in range(6):
        server.put(f"a{number}", str(number) * wire.CONTENT_LIMIT)

    sizes = [len(server.full().entities), len(server.pull(beginning(server)).changes)]

    assert sizes == [4, 4]
