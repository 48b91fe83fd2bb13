"""The client against a real team server: what one says, the other understands."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from daemon.sync.remote import Endpoint, FullSyncRequiredError, Remote
from daemon.team import app, tokens, wire
from store import errors
from store.version import VERSION
from tests.team.server import NAMESPACE, TeamServer, action, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with serving(tmp_path) as made:
        yield made


def ask(server: TeamServer, call: Callable[[Remote], Awaitable[Any]], token: str | None = None, **changes: Any) -> Any:
    values: dict[str, Any] = {"url": server.url, "namespace": NAMESPACE, "tls_verify": True, "timeout": 20.0}

    async def main() -> Any:
        async with Remote(Endpoint(token=token, **(values | changes))) as remote:
            return await call(remote)

    return asyncio.run(main())


def refusal(
    server: TeamServer, call: Callable[[Remote], Awaitable[Any]], token: str | None = None, **changes: Any
) -> str:
    with pytest.raises(errors.CleverAgentsError) as caught:
        ask(server, call, token, **changes)
    assert token is None or token not in f"{caught.value!r} {caught.value.detail}"
    return caught.value.code


def status(remote: Remote) -> Awaitable[wire.StatusResult]:
    return remote.status()


def test_the_card_is_accepted(server: TeamServer) -> None:
    assert ask(server, lambda remote: remote.check()) == VERSION
    assert ask(server, lambda remote: remote.check(), url=server.url.replace("127.0.0.1", "localhost")) == VERSION


def test_what_is_pushed_is_pulled(server: TeamServer) -> None:
    async def story(remote: Remote) -> None:
        first = await remote.full(None)
        assert first.entities == []
        text = "name: crew/tidy\ndescription: é \U0001f600\n"
        pushed = await remote.push([action("tidy", text), action("gone", "x")], "key-1", first.cursor)
        assert [one.status for one in pushed.results] == ["accepted", "accepted"]
        revision = pushed.results[1].revision or 0
        gone = wire.Change(kind="action", name="gone", base_revision=revision, deleted=True)
        await remote.push([gone], "key-2", pushed.cursor)

        changed = await remote.pull(first.cursor)
        assert not changed.more
        assert [(one.name, one.content, one.deleted) for one in changed.changes] == [
            ("tidy", text, False),
            ("gone", None, True),
        ]
        assert changed.changes[0].digest == hashlib.sha256(text.encode()).hexdigest()
        assert (await remote.pull(changed.cursor)).changes == []
        assert (await remote.status()).entities == 1
        assert [one.name for one in (await remote.full(None)).entities] == ["tidy"]

    ask(server, story)


def test_pages_are_gone_through(server: TeamServer) -> None:
    names = [f"a{number:04}" for number in range(wire.PAGE_DEFAULT + 3)]

    async def story(remote: Remote) -> None:
        start = (await remote.status()).cursor
        for first in range(0, len(names), wire.PUSH_LIMIT):
            part = names[first : first + wire.PUSH_LIMIT]
            await remote.push([action(name, "x") for name in part], f"key-{first}", None)
        page = await remote.full(None)
        found = [one.name for one in page.entities]
        while page.next_page_token is not None:
            page = await remote.full(page.next_page_token)
            found += [one.name for one in page.entities]
        assert sorted(found) == names
        changed = await remote.pull(start)
        assert changed.more
        rest = await remote.pull(changed.cursor)
        assert not rest.more
        assert [one.name for one in (*changed.changes, *rest.changes)] == names

    ask(server, story)


def test_a_conflict_brings_what_is_there(server: TeamServer) -> None:
    server.put("tidy", "theirs")

    (one,) = ask(server, lambda remote: remote.push([action("tidy", "ours")], "key", None)).results

    assert one.status == "conflict"
    assert one.current is not None
    assert one.current.content == "theirs"


def test_another_servers_cursor_needs_a_full_sync(server: TeamServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other") as other:
        cursor = other.status().cursor

    with pytest.raises(FullSyncRequiredError):
        ask(server, lambda remote: remote.pull(cursor))
    with pytest.raises(FullSyncRequiredError):
        ask(server, lambda remote: remote.push([action("tidy", "x")], "key", cursor))


def test_tokens_open_what_they_are_for(server: TeamServer) -> None:
    writer, text = server.token()
    _, reader = server.token(role=tokens.READ)
    _, foreign = server.token(namespace="others")

    def push(remote: Remote) -> Awaitable[wire.PushResults]:
        return remote.push([action("tidy", "x")], "key", None)

    assert ask(server, push, text).results[0].status == "accepted"
    assert ask(server, status, reader).entities == 1
    assert refusal(server, push, reader) == "forbidden"
    assert refusal(server, status, foreign) == "forbidden"
    assert refusal(server, status, "ca_wrong") == "unauthorized"
    assert refusal(server, status) == "unauthorized"
    server.revoke(writer)
    assert refusal(server, status, text) == "unauthorized"


def test_the_namespace_of_this_machine_is_refused(server: TeamServer) -> None:
    assert refusal(server, status, namespace="local") == "protocol_error"


def test_a_server_that_is_asked_too_often_says_for_how_long(tmp_path: Path) -> None:
    async def often(remote: Remote) -> None:
        for _ in range(50):
            await remote.status()

    with (
        serving(tmp_path, limits=app.Limits(rate=1, burst=2)) as server,
        pytest.raises(errors.UnreachableError) as caught,
    ):
        ask(server, often)

    assert caught.value.detail["retry_after"] >= 1


def test_a_change_is_heard_of_and_pulled(server: TeamServer) -> None:
    async def story(remote: Remote) -> None:
        start = (await remote.status()).cursor
        async with aclosing(remote.notices(start)) as notices:
            pushed = await remote.push([action("one", "x"), action("two", "x")], "key", None)
            first, second = await anext(notices), await anext(notices)
        assert second == pushed.cursor
        assert [one.name for one in (await remote.pull(first)).changes] == ["two"]
        async with aclosing(remote.notices(first)) as again:
            assert await anext(again) == second
        async with aclosing(remote.notices("0.none.such")) as unknown:
            assert not await anext(unknown)

    ask(server, story)


def test_the_stream_starts_with_now(server: TeamServer) -> None:
    server.put("old", "x")

    async def story(remote: Remote) -> None:
        opened = asyncio.Event()
        async with aclosing(remote.notices(None, opened.set)) as notices:
            following = asyncio.create_task(anext(notices))
            await opened.wait()
            pushed = await remote.push([action("new", "x")], "key", None)
            assert await following == pushed.cursor

    ask(server, story)


def test_a_server_that_stops_ends_the_stream(server: TeamServer) -> None:
    async def story(remote: Remote) -> None:
        async for _ in remote.notices(None, server.end_streams):
            pass

    assert refusal(server, story) == "unreachable"
