"""The client against servers that break every rule: each time a typed error, and never a word of the token."""

import asyncio
import gzip
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from daemon.sync import cards, failures
from daemon.sync.remote import Endpoint, FullSyncRequiredError, Remote
from daemon.team import wire
from store import errors
from tests.sync import hostile
from tests.sync.hostile import Request, Server, entity, page, respond, result

CANARY = "canary-4f1c0a3b2d9e"
"""The token: nothing that is raised or logged may hold it."""
CHANGE = wire.Change(kind="action", name="tidy", content="name: team/tidy\n")

Call = Callable[[Remote], Awaitable[Any]]


def endpoint(url: str, **changes: Any) -> Endpoint:
    values: dict[str, Any] = {"namespace": "team", "token": CANARY, "tls_verify": True, "timeout": 10.0}
    return Endpoint(url=url, **(values | changes))


def ask(where: Endpoint, call: Call) -> Any:
    async def main() -> Any:
        async with Remote(where) as remote:
            return await call(remote)

    return asyncio.run(main())


def refusal(where: Endpoint, call: Call) -> errors.CleverAgentsError:
    """The error of a call, which says nothing of the token: not in its words, its causes, or its place in a log."""
    with pytest.raises(errors.CleverAgentsError) as caught:
        ask(where, call)
    error = caught.value
    told = [error.message, repr(error), repr(error.detail), *error.suggestions, *traceback.format_exception(error)]
    assert not [text for text in told if CANARY in text]
    return error


def status(remote: Remote) -> Awaitable[wire.StatusResult]:
    return remote.status()


def check(remote: Remote) -> Awaitable[str]:
    return remote.check()


def pull(remote: Remote) -> Awaitable[wire.PullResult]:
    return remote.pull(hostile.CURSOR)


def full(remote: Remote) -> Awaitable[wire.FullResult]:
    return remote.full(None)


def push(remote: Remote) -> Awaitable[wire.PushResults]:
    return remote.push([CHANGE], "key-1", hostile.CURSOR)


ALL = pytest.mark.parametrize("call", [check, status, pull, full, push], ids=lambda call: call.__name__)
CALLS = pytest.mark.parametrize("call", [status, pull, full, push], ids=lambda call: call.__name__)


@pytest.fixture(autouse=True)
def log_tells_no_token(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert not [record for record in caplog.get_records("call") if CANARY in record.getMessage()]


# --- what is said


def test_every_method_gets_its_answer() -> None:
    with Server() as server:
        where = endpoint(server.url)

        assert ask(where, check) == "9.9.9"
        assert ask(where, status).epoch == "e1"
        assert ask(where, full).entities == []
        assert ask(where, pull).cursor == hostile.CURSOR
        assert ask(where, push).results[0].status == "accepted"


def test_a_call_says_who_asks_for_what() -> None:
    with Server() as server:
        ask(endpoint(server.url), push)

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/a2a")
    assert request.headers["a2a-version"] == "1.0"
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.call["params"] == {
        "namespace": "team",
        "changes": [
            {
                "kind": "action", "name": "tidy", "base_revision": 0, "content": "name: team/tidy\n", "digest": None,
                "deleted": False,
            }
        ],
        "idempotency_key": "key-1",
        "cursor": hostile.CURSOR,
    }  # fmt: skip


def test_every_request_has_an_id_of_its_own() -> None:
    async def several(remote: Remote) -> None:
        for _ in range(3):
            await remote.status()

    with Server() as server:
        ask(endpoint(server.url), several)

    assert len({request.call["id"] for request in server.requests}) == 3


def test_the_card_is_asked_for_without_the_token() -> None:
    with Server() as server:
        ask(endpoint(server.url), check)

    assert [request.path for request in server.requests] == ["/.well-known/agent-card.json"]
    assert "authorization" not in server.requests[0].headers


def test_without_a_token_none_is_sent() -> None:
    with Server() as server:
        ask(endpoint(server.url, token=None), status)

    assert "authorization" not in server.requests[0].headers


def test_a_path_before_the_servers_own_is_kept() -> None:
    with Server() as server:
        ask(endpoint(f"{server.url}/team/"), check)
        ask(endpoint(f"{server.url}/team"), status)

    assert [request.path for request in server.requests] == ["/team/.well-known/agent-card.json", "/team/a2a"]


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tab\t", "snowman-☃", "nul\0"])
def test_a_token_that_is_none_is_refused_before_anything_is_sent(token: str) -> None:
    with Server() as server:
        error = refusal(endpoint(server.url, token=token), status)

    assert error.code == "invalid_argument"
    assert server.requests == []
    assert not token or token not in error.message


def test_an_endpoint_does_not_show_its_token() -> None:
    assert CANARY not in repr(endpoint("http://127.0.0.1"))
    assert CANARY not in f"{endpoint('http://127.0.0.1')}"


def test_settings_with_a_password_in_the_url_are_refused() -> None:
    """Somebody may have written the URL into the file by hand."""
    error = refusal(endpoint(f"http://ada:{CANARY}@127.0.0.1:1"), status)

    assert error.code == "invalid_argument"


def test_cookies_and_proxies_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice(remote: Remote) -> None:
        await remote.status()
        await remote.status()

    def with_cookie(request: Request) -> bytes:
        call = hostile.honest(request)
        return call.replace(b"\r\n", b"\r\nset-cookie: a=b\r\n", 1)

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Server(with_cookie) as server:
        ask(endpoint(server.url), twice)

    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


@pytest.mark.parametrize("namespace", ["", "Team", "a/b", "\udcff", "../x"])
def test_a_namespace_that_is_none_is_refused_before_anything_is_sent(namespace: str) -> None:
    with Server() as server:
        error = refusal(endpoint(server.url, namespace=namespace), status)

    assert error.code == "invalid_argument"
    assert server.requests == []


# --- who answers


@ALL
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(call: Call, code: int) -> None:
    with Server() as other:
        with Server(lambda _: respond(b"", code, location=f"{other.url}/a2a?token={CANARY}")) as server:
            error = refusal(endpoint(server.url), call)

        assert error.code == "unreachable"
        assert other.url in error.message
        assert "?" not in error.message
        assert other.requests == []


def test_a_redirect_within_the_server_is_told_with_its_path() -> None:
    def script(request: Request) -> bytes:
        return respond(b"", 302, location=f"http://{request.headers['host']}/team/a2a?token={CANARY}")

    with Server(script) as server:
        error = refusal(endpoint(server.url), status)

    assert f"points to {server.url}/team/a2a;" in error.message
    assert f"ca server connect {server.url}" not in error.suggestions


@pytest.mark.parametrize("location", ["", "/elsewhere", "http://[bad", "http://ada:pw@h/", f"http://{CANARY}.example/"])
def test_a_redirect_to_anything_is_told(location: str) -> None:
    with Server(lambda _: respond(b"", 302, location=location)) as server:
        error = refusal(endpoint(server.url), status)

    assert error.detail["reason"] == "redirect"
    assert "pw" not in error.message


def test_a_card_that_names_another_origin_is_refused() -> None:
    with Server() as other:
        with Server(lambda request: respond(hostile.card(request, url=f"{other.url}/a2a"))) as server:
            error = refusal(endpoint(server.url), check)

        assert error.code == "unreachable"
        assert server.url in error.message
        assert other.url in error.message
        assert other.requests == []


@pytest.mark.parametrize(
    "url", ["", "/a2a", "javascript:x", f"http://{CANARY}@127.0.0.1/", "http://[::", "https://127.0.0.1"]
)
def test_a_card_with_no_usable_address_is_refused(url: str) -> None:
    with Server(lambda request: respond(hostile.card(request) | {"supportedInterfaces": [
        {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ]})) as server:  # fmt: skip
        error = refusal(endpoint(server.url), check)

    assert error.detail["reason"] == "foreign_card"


def test_a_card_may_give_another_name_of_this_machine() -> None:
    def card(request: Request) -> bytes:
        return respond(hostile.card(request, url=f"http://localhost:{request.headers['host'].rpartition(':')[2]}/a2a"))

    with Server(card) as server:
        assert ask(endpoint(server.url), check) == "9.9.9"


def test_what_the_methods_are_for_need_not_be_declared() -> None:
    """Whether the server knows them is seen when the first one is called."""
    with Server(lambda request: respond(hostile.card(request, extension="https://example.org/other"))) as server:
        assert ask(endpoint(server.url), check) == "9.9.9"


@pytest.mark.parametrize("version", ["2.0", "0.3.0", "10.0", ""])
def test_a_card_of_another_version_is_refused(version: str) -> None:
    with Server(lambda request: respond(hostile.card(request, version=version))) as server:
        assert refusal(endpoint(server.url), check).code == "version_mismatch"


def test_a_card_of_before_the_standard_is_refused() -> None:
    old: dict[str, Any] = {
        "name": "old",
        "version": "1",
        "url": "http://x/",
        "protocolVersion": "0.3.0",
        "capabilities": {},
    }
    with Server(lambda _: respond(old)) as server:
        error = refusal(endpoint(server.url), check)

    assert error.code == "version_mismatch"
    assert "0.3.0" in error.message


def test_a_card_that_is_its_only_interface_will_do() -> None:
    with Server(lambda _: respond({"name": "plain", "version": "3", "protocolVersion": "1.0"})) as server:
        assert ask(endpoint(server.url), check) == "3"


def test_a_card_of_a_newer_minor_version_will_do() -> None:
    with Server(lambda request: respond(hostile.card(request, version="1.7"))) as server:
        assert ask(endpoint(server.url), check) == "9.9.9"


NOTHING: dict[str, Any] = {"supportedInterfaces": []}
NO_CARDS: dict[str, Callable[[Request], bytes]] = {
    "not there": lambda _: respond(b"nothing here", 404, content_type="text/plain"),
    "a page": lambda _: respond(b"<html>Welcome</html>", content_type="text/html"),
    "a page as json": lambda _: respond(b"<html>Welcome</html>"),
    "a list": lambda _: respond([]),
    "too long": lambda _: respond(b'"' + b"x" * cards.LIMIT + b'"'),
    "too deep": lambda _: respond(b"[" * 100_000),
    "no interface": lambda request: respond(hostile.card(request) | NOTHING),
    "another binding": lambda request: respond(hostile.card(request) | {"supportedInterfaces": [
        {"url": "http://127.0.0.1/", "protocolBinding": "GRPC", "protocolVersion": "1.0"}]}),
    "not utf-8": lambda _: respond(b'{"version": "\xff"}'),
    "compressed": lambda _: respond(gzip.compress(b"{}"), content_encoding="gzip"),
}  # fmt: skip


@pytest.mark.parametrize("script", NO_CARDS.values(), ids=NO_CARDS)
def test_what_has_no_card_of_ours_is_no_team_server(script: Callable[[Request], bytes]) -> None:
    with Server(script) as server:
        error = refusal(endpoint(server.url), check)

    assert (error.code, error.detail["reason"]) == ("unreachable", "not_a_team_server")


def test_nobody_listens() -> None:
    with Server() as server:
        pass

    error = refusal(endpoint(server.url), status)

    assert (error.code, error.detail["reason"]) == ("unreachable", "refused")
    assert server.url in error.message


def test_a_name_that_nobody_knows() -> None:
    # a resolver may take its time to say no
    error = refusal(endpoint("http://no-such-host.invalid", timeout=40.0), status)

    assert (error.code, error.detail["reason"]) == ("unreachable", "unknown_host")


# --- how it answers


@CALLS
@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"<html></html>", "text/html"), (b"", "application/octet-stream"), (b"data: x\n\n", "text/event-stream")],
)
def test_what_is_no_json_comes_from_no_team_server(call: Call, body: bytes, kind: str) -> None:
    with Server(lambda _: respond(body, content_type=kind)) as server:
        error = refusal(endpoint(server.url), call)

    assert error.code == "unreachable"
    assert "no team server" in error.message


def answers(request: Request) -> dict[str, bytes]:
    """Answers of a team server that make no sense."""
    value = {"server_id": "s1", "epoch": "e1", "cursor": "c", "entities": 0}
    right: dict[str, Any] = {"jsonrpc": "2.0", "id": request.call["id"], "result": value}
    return {
        "empty": b"",
        "truncated": b'{"jsonrpc": "2.0", "id',
        "not utf-8": b'{"jsonrpc": "2.0", "id": "\xff"}',
        "half a character": b'{"jsonrpc": "\\ud800"}',
        "no object": b"[]",
        "deep": b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "not a number": b'{"jsonrpc": "2.0", "id": NaN}',
        "other id": msg(right | {"id": "another"}),
        "number for an id": msg(right | {"id": 1}),
        "no id": msg({"jsonrpc": "2.0", "result": value}),
        "other version": msg(right | {"jsonrpc": "1.0"}),
        "neither": msg({"jsonrpc": "2.0", "id": request.call["id"]}),
        "null": msg(right | {"result": None}),
        "wrong types": msg(right | {"result": {"server_id": 1, "epoch": None, "cursor": CANARY, "entities": CANARY}}),
        "malformed error": msg({"jsonrpc": "2.0", "id": request.call["id"], "error": CANARY}),
        "batch": msg([right]),
    }


def msg(value: object) -> bytes:
    return respond(value).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("name", list(answers(Request("POST", "/", {}, b'{"id": "x"}'))))
def test_nonsense_is_a_protocol_error(name: str) -> None:
    with Server(lambda request: respond(answers(request)[name])) as server:
        error = refusal(endpoint(server.url), status)

    assert error.code == "protocol_error"
    assert server.url in error.message


def test_an_announced_length_that_is_too_much_is_not_waited_for() -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{"
        server.ended.wait()

    with Server(script) as server:
        assert refusal(endpoint(server.url), status).code == "protocol_error"


@ALL
def test_an_endless_body_is_cut_off(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
        while not server.ended.is_set():
            yield b" " * 1024 * 1024

    with Server(script) as server:
        error = refusal(endpoint(server.url), call)

    assert error.code == ("unreachable" if call is check else "protocol_error")
    assert "longer than" in error.message


def test_a_bomb_is_not_unpacked() -> None:
    with Server(lambda _: respond(gzip.compress(bytes(10_000_000)), content_encoding="gzip")) as server:
        error = refusal(endpoint(server.url), status)

    assert error.code == "protocol_error"
    assert "compressed" in error.message


def silent(server: Server) -> Iterator[bytes]:
    yield b""
    server.ended.wait()


def drip(server: Server) -> Iterator[bytes]:
    """Bytes of the head, each in time, the whole never."""
    yield b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
    while not server.ended.wait(0.02):
        yield b" "


@ALL
@pytest.mark.parametrize("script", [silent, drip])
def test_the_deadline_is_for_the_whole_answer(call: Call, script: Callable[[Server], Iterator[bytes]]) -> None:
    with Server(lambda _: script(server)) as server:
        error = refusal(endpoint(server.url, timeout=0.2), call)

    assert (error.code, error.detail["reason"]) == ("unreachable", "timed_out")
    assert "0.2 s" in error.message


def reset(_: Request) -> Iterator[bytes]:
    yield b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"a":'
    raise hostile.ResetNow


BROKEN: dict[str, hostile.Script] = {
    "reset": reset,
    "closed in the head": lambda _: b"HTTP/1.1 200 OK\r\ncontent-ty",
    "closed before the head": lambda _: b"",
    "closed in the body": lambda _: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    "no http": lambda _: b"SSH-2.0-OpenSSH_9.0\r\n" + CANARY.encode() + b"\r\n\r\n",
    "bad chunks": lambda _: (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        + CANARY.encode()
        + b"\r\n"
    ),
    "huge head": lambda _: b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_a_connection_that_breaks_is_unreachable(script: hostile.Script) -> None:
    with Server(script) as server:
        assert refusal(endpoint(server.url), status).code == "unreachable"


# --- what it says against us


@CALLS
def test_no_token_and_a_wrong_one_are_unauthorized(call: Call) -> None:
    with Server(lambda _: respond(b"", 401, www_authenticate="Bearer")) as server:
        wrong = refusal(endpoint(server.url), call)
        none = refusal(endpoint(server.url, token=None), call)

    assert (wrong.code, none.code) == ("unauthorized", "unauthorized")
    assert "does not accept the token" in wrong.message
    assert "wants a token" in none.message


def test_forbidden_says_why() -> None:
    said = {"jsonrpc": "2.0", "id": None, "error": {"code": -32012, "message": "no \x1b[31mOrigin\nallowed"}}
    with Server(lambda _: respond(said, 403)) as server:
        error = refusal(endpoint(server.url), status)

    assert error.code == "forbidden"
    assert "Origin" in error.message
    assert error.message.isprintable()


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (wire.FORBIDDEN, "forbidden", "forbidden"),
        (wire.FORBIDDEN, None, "forbidden"),
        (wire.VERSION_NOT_SUPPORTED, None, "version_mismatch"),
        (wire.METHOD_NOT_FOUND, None, "version_mismatch"),
        (wire.INTERNAL, None, "unreachable"),
        (wire.INVALID_PARAMS, "invalid_argument", "protocol_error"),
        (wire.CONFLICT, "sync_conflict", "protocol_error"),
        (-32000, "unauthorized", "unauthorized"),
        (-32000, "brand_new", "protocol_error"),
    ],
)
def test_an_error_of_the_protocol_is_one_of_ours(code: int, reason: str | None, expected: str) -> None:
    def script(request: Request) -> bytes:
        data = [{"@type": "type.googleapis.com/google.rpc.BadRequest"}]
        data += [] if reason is None else [{"@type": "x", "reason": reason, "domain": "cleveragents.org"}]
        return hostile.failure(request, code, f"you said {request.headers['authorization']}\x07", data)

    with Server(script) as server:
        error = refusal(endpoint(server.url), status)

    assert error.code == expected
    assert error.message.isprintable()


@pytest.mark.parametrize("data", [None, "text", {"reason": "forbidden"}, [[1]], [None]])
def test_an_error_with_other_data_is_understood(data: object) -> None:
    with Server(lambda request: hostile.failure(request, wire.FORBIDDEN, "no", data)) as server:
        assert refusal(endpoint(server.url), status).code == "forbidden"


def test_an_error_without_an_id_is_understood() -> None:
    said = {"jsonrpc": "2.0", "id": None, "error": {"code": wire.FORBIDDEN, "message": "no"}}
    with Server(lambda _: respond(said)) as server:
        assert refusal(endpoint(server.url), status).code == "forbidden"


@pytest.mark.parametrize("call", [pull, full, push], ids=lambda call: call.__name__)
def test_a_full_sync_that_is_required_is_an_error_of_its_own(call: Call) -> None:
    info = [{"@type": "x", "reason": "not_found", "domain": "d"}]
    with Server(lambda request: hostile.failure(request, wire.FULL_SYNC_REQUIRED, "other epoch", info)) as server:
        assert isinstance(refusal(endpoint(server.url), call), FullSyncRequiredError)


def test_a_quotation_is_bounded() -> None:
    with Server(lambda request: hostile.failure(request, -32000, "x" * 1_000_000)) as server:
        assert len(refusal(endpoint(server.url), status).message) < 1000


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0", 0.0), ("999999999", 86_400.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0)],
)
def test_retry_after_is_kept_in_bounds(code: int, value: str, seconds: float) -> None:
    with Server(lambda _: respond(b"", code, retry_after=value)) as server:
        error = refusal(endpoint(server.url), status)

    assert (error.code, error.detail["retry_after"]) == ("unreachable", seconds)


def test_retry_after_may_be_a_date() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert failures.retry_after(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90.0
    assert failures.retry_after("Fri, 02 Jan 2026 03:05:05 -0000", now) == 60.0
    assert failures.retry_after("Fri, 02 Jan 9999 03:05:05 GMT", now) == failures.MAX_RETRY_AFTER


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "nan", "inf", "1e9", "9" * 400, "\u0661", "Fri, 99 Jan 2026 03:05:05 GMT"]
)
def test_retry_after_without_meaning_is_none(value: str) -> None:
    assert failures.retry_after(value) is None


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_trouble_of_the_server_passes(code: int) -> None:
    with Server(lambda _: respond(b"<html>", code, content_type="text/html")) as server:
        error = refusal(endpoint(server.url), status)

    assert error.code == "unreachable"
    assert "retry_after" not in error.detail
    assert str(code) in error.message


@pytest.mark.parametrize("code", [201, 204, 400, 413, 415])
def test_other_statuses_are_protocol_errors(code: int) -> None:
    said = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": f"too much {CANARY}"}}
    with Server(lambda _: respond(b"" if code < 300 else said, code)) as server:
        error = refusal(endpoint(server.url), status)

    assert error.code == "protocol_error"
    assert str(code) in error.message


@pytest.mark.parametrize(
    "body", [b"x", b"[" * 10_000, b'{"jsonrpc": "2.0", "id": 1, "result": 2}'], ids=["text", "deep", "result"]
)
def test_an_explanation_that_is_none_is_left_out(body: bytes) -> None:
    with Server(lambda _: respond(body, 403)) as server:
        assert refusal(endpoint(server.url), status).code == "forbidden"


# --- what is inside


WRONG_ENTITIES: dict[str, dict[str, Any]] = {
    "other namespace": entity(namespace="other"),
    "local": entity(namespace="local"),
    "path": entity("../../etc/passwd"),
    "upper case": entity("Tidy"),
    "slash": entity("a/b"),
    "no name": entity(""),
    "long name": entity("x" * 65),
    "digest": entity(digest="0" * 64),
    "other content": entity(content="other", digest=entity()["digest"]),
    "no content": entity(content=None),
    "revision 0": entity(revision=0),
    "negative revision": entity(revision=-1),
    "too much": entity(content="x" * (wire.CONTENT_LIMIT + 1)),
    "who with control characters": entity(updated_by="\x1b[2J"),
}


@pytest.mark.parametrize("wrong", WRONG_ENTITIES.values(), ids=WRONG_ENTITIES)
@pytest.mark.parametrize("call", [pull, full], ids=lambda call: call.__name__)
def test_a_wrong_entity_is_refused_by_name(call: Call, wrong: dict[str, Any]) -> None:
    key = "changes" if call is pull else "entities"
    with Server(lambda request: result(request, page(key, entity("good"), wrong))) as server:
        error = refusal(endpoint(server.url), call)

    assert error.code == "protocol_error"
    assert f"action {wrong['namespace']}/{wrong['name']}" in error.message


def test_what_a_server_leaves_out_is_not_asked_for() -> None:
    """A digest is compared when there is one; who and when are only shown."""
    bare = {"kind": "action", "namespace": "team", "name": "bare", "revision": 3, "content": "x"}
    gone = {**bare, "name": "gone", "content": "", "deleted": True, "updated_at": "yesterday"}
    with Server(lambda request: result(request, page("changes", bare, gone))) as server:
        answer = ask(endpoint(server.url), pull)

    assert [(one.name, one.digest, one.deleted) for one in answer.changes] == [
        ("bare", None, False),
        ("gone", None, True),
    ]


def test_cursors_that_are_numbers_are_given_back_as_numbers() -> None:
    """They mean nothing here, and to their server what it made them mean."""
    pages = page("changes", cursor="c") | {"cursor": 7, "epoch": 1, "server_id": "s"}
    with Server(lambda request: result(request, pages)) as server:
        cursor = ask(endpoint(server.url), pull).cursor
        ask(endpoint(server.url), lambda remote: remote.pull(cursor))

    assert server.requests[-1].call["params"]["cursor"] == 7


def test_good_entities_and_deletions_are_taken() -> None:
    gone = entity("gone", content=None, digest=None, deleted=True, revision=8)
    late = entity("late", updated_at="2026-01-02T03:04:05+02:00", updated_by="Ada Ŝ. \u65e5")
    with Server(lambda request: result(request, page("changes", entity(), gone, late, cursor="e1.9.x"))) as server:
        answer = ask(endpoint(server.url), pull)

    assert [(one.name, one.deleted) for one in answer.changes] == [("tidy", False), ("gone", True), ("late", False)]


@pytest.mark.parametrize("mark", ["", " ", "a b", "é", "x" * 1025, "a\nb"])
@pytest.mark.parametrize("field", ["server_id", "epoch", "cursor"])
def test_a_cursor_that_could_not_be_sent_back_is_refused(field: str, mark: str) -> None:
    with Server(lambda request: result(request, page("entities", **{field: mark}))) as server:
        assert refusal(endpoint(server.url), full).code == "protocol_error"


def test_pages_that_go_in_circles_are_refused() -> None:
    def script(request: Request) -> bytes:
        if request.call["method"] == wire.PULL:
            return result(request, page(more=True))
        return result(request, page("entities", next_page_token="again"))

    with Server(script) as server:
        again = refusal(endpoint(server.url), pull)
        circle = refusal(endpoint(server.url), lambda remote: remote.full("again"))
        assert ask(endpoint(server.url), full).next_page_token == "again"

    assert (again.code, circle.code) == ("protocol_error", "protocol_error")


RIGHT: dict[str, Any] = {"kind": "action", "name": "tidy", "status": "accepted", "revision": 8}
WRONG_RESULTS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "too many": [RIGHT, RIGHT],
    "other name": [RIGHT | {"name": "other"}],
    "other kind": [RIGHT | {"kind": "actor"}],
    "unknown status": [RIGHT | {"status": CANARY}],
    "revision 0": [RIGHT | {"revision": 0}],
    "current of another": [RIGHT | {"status": "conflict", "current": entity("other")}],
    "current of another namespace": [RIGHT | {"status": "conflict", "current": entity(namespace="other")}],
    "current with a wrong digest": [RIGHT | {"status": "conflict", "current": entity(digest="0" * 64)}],
}


@pytest.mark.parametrize("results", WRONG_RESULTS.values(), ids=WRONG_RESULTS)
def test_results_that_are_not_those_of_the_push_are_refused(results: list[dict[str, Any]]) -> None:
    with Server(lambda request: result(request, {"results": results, "cursor": "c"})) as server:
        assert refusal(endpoint(server.url), push).code == "protocol_error"


def test_a_conflict_brings_the_servers_version() -> None:
    conflict = RIGHT | {"status": "conflict", "revision": 7, "current": entity()}
    with Server(lambda request: result(request, {"results": [conflict], "cursor": "c"})) as server:
        (one,) = ask(endpoint(server.url), push).results

    assert one.current is not None
    assert one.current.content == "name: team/tidy\n"


# --- TLS


def tls_error(server: Server, **changes: Any) -> errors.CleverAgentsError:
    error = refusal(endpoint(server.url, **changes), status)
    assert error.code == "tls"
    assert server.url in error.message
    assert server.requests == []
    return error


def test_a_certificate_of_nobody_is_not_trusted() -> None:
    with Server(certificate=hostile.LOOPBACK) as server:
        error = tls_error(server)

    assert "self-signed" in error.message
    assert "--no-tls-verify" in " ".join(error.suggestions)


def test_a_certificate_in_the_trust_store_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(hostile.LOOPBACK))
    with Server(certificate=hostile.LOOPBACK) as server:
        assert ask(endpoint(server.url), status).epoch == "e1"
        assert ask(endpoint(server.url.replace("127.0.0.1", "localhost")), status).epoch == "e1"


def test_a_certificate_for_another_host_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(hostile.ELSEWHERE))
    with Server(certificate=hostile.ELSEWHERE) as server:
        assert "another host" in tls_error(server).message


def test_a_certificate_that_has_expired_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(hostile.EXPIRED))
    with Server(certificate=hostile.EXPIRED) as server:
        assert "expired" in tls_error(server).message


@pytest.mark.parametrize(
    "certificate", [hostile.LOOPBACK, hostile.ELSEWHERE, hostile.EXPIRED], ids=lambda path: path.stem
)
def test_without_verification_every_certificate_will_do(certificate: Any) -> None:
    with Server(certificate=certificate) as server:
        assert ask(endpoint(server.url, tls_verify=False), status).epoch == "e1"


def test_a_card_of_a_server_with_tls_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(request: Request) -> bytes:
        return respond(hostile.card(request, url=f"{server.url}/a2a"))

    monkeypatch.setenv("SSL_CERT_FILE", str(hostile.LOOPBACK))
    with Server(script, certificate=hostile.LOOPBACK) as server:
        assert ask(endpoint(server.url), check) == "9.9.9"


def test_a_card_behind_tls_must_say_https(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(hostile.LOOPBACK))
    with Server(certificate=hostile.LOOPBACK) as server:
        error = refusal(endpoint(server.url), check)

    assert error.detail["reason"] == "foreign_card"
    assert "X-Forwarded-Proto" in " ".join(error.suggestions)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["an answer", "an end"])
def test_tls_to_a_server_without_it(answer: bytes) -> None:
    with Server(lambda _: answer) as server:
        error = refusal(endpoint(server.url.replace("http:", "https:")), status)

    # Which of the two depends on what arrives first, the answer or the reset behind it.
    assert error.code in {"tls", "unreachable"}
    assert "http://" in " ".join(error.suggestions)
    assert [request.method for request in server.requests] == [""]


def test_plain_http_to_a_server_with_tls() -> None:
    with Server(certificate=hostile.LOOPBACK) as server:
        error = refusal(endpoint(server.url.replace("https:", "http:")), status)

    assert error.code == "unreachable"
    assert "https://" in " ".join(error.suggestions)
