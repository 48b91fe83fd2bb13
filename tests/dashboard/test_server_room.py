"""The room of the team server: connecting, the sync, and definitions that both sides changed."""

import asyncio
from collections.abc import Awaitable, Callable

from textual import events

from cleveragents_tui.dashboard.widgets.side_by_side import CHANGED, LEFT_ONLY, RIGHT_ONLY, SAME, Sides
from tests.dashboard.dashboards import Seat, opened
from tests.homes import Home
from tests.sync.scripted import Refusal, ScriptedServer

Play = Callable[[Seat, ScriptedServer], Awaitable[None]]
TOKEN = "not-for-other-eyes"


def _sit(home: Home, play: Play, *, size: tuple[int, int] = (120, 40)) -> None:
    """Play a scene in front of a dashboard, with a team server in the same loop."""

    async def scene() -> None:
        async with ScriptedServer() as server, opened(home, size=size) as seat:
            await seat.press("4")
            try:
                await play(seat, server)
            finally:
                await asyncio.to_thread(home.run, "server", "disconnect")
                await asyncio.to_thread(home.run, "config", "unset", "server.sync.auto")

    asyncio.run(scene())


async def _connect(home: Home, seat: Seat, server: ScriptedServer) -> None:
    await asyncio.to_thread(home.run, "server", "connect", server.url, "--namespace", "team")
    await seat.sees("answers", "team is in step")


def _paste(seat: Seat, text: str) -> None:
    """What a terminal sends for text from the clipboard."""
    assert seat.app.focused is not None
    seat.app.focused.post_message(events.Paste(text))


def test_one_connects_by_a_form_that_tells_nobody_the_token(shared: Home) -> None:
    """What is typed stays when the server refuses it; the token is neither shown nor echoed."""

    async def play(seat: Seat, server: ScriptedServer) -> None:
        await seat.sees("No team server is connected", "ca server connect URL", "ca server start")
        await seat.press("c")
        await seat.sees("Connect to a team server")
        server.refusal = Refusal(401, {"WWW-Authenticate": "Bearer"})
        for text in (server.url, "team", TOKEN):
            _paste(seat, text)
            await seat.press("tab")
        await seat.press("ctrl+s")
        await seat.sees("✘", server.url)
        assert TOKEN not in seat.text()

        server.refusal = None
        await seat.press("ctrl+s")
        await seat.sees(f"{server.url} answers", "team is in step", "next pull")
        assert seat.app.echoed == f"ca server connect {server.url} --namespace team --token-stdin"
        assert f"Bearer {TOKEN}" in server.tokens
        assert TOKEN not in seat.text()

        await seat.press("D")
        await seat.sees("Disconnect from the team server?", "still here and in use afterwards")
        await seat.press("y")
        await seat.sees("No team server is connected")
        assert seat.app.echoed == "ca server disconnect"

    _sit(shared, play)


def test_a_sync_is_seen_while_it_runs_and_the_room_goes_on(shared: Home) -> None:
    """The server answers when it pleases; meanwhile the room says what is under way, and other rooms work."""

    async def play(seat: Seat, server: ScriptedServer) -> None:
        await _connect(shared, seat, server)
        server.put("fresh", "name: team/fresh\ntype: command\ncommand: ['true']\n")
        server.gate.clear()
        await seat.press("n")
        await seat.sees("syncing…")
        await seat.press("3")
        await seat.sees("No locks")
        await seat.press("4")
        await seat.sees("syncing…")
        server.gate.set()
        await seat.sees("1 definition")
        await seat.sees("team: 1 pulled")
        await seat.until(lambda: "syncing…" not in seat.text())

    _sit(shared, play)


def test_what_is_wrong_with_the_server_is_said(shared: Home) -> None:
    """A server that answers no more is an error with its reason; it is asked again when somebody comes back."""

    async def play(seat: Seat, server: ScriptedServer) -> None:
        await _connect(shared, seat, server)
        server.refusal = Refusal(500)
        await seat.press("n")
        await seat.sees(f"✘ {server.url}: ")
        server.refusal = None
        await seat.press("n")
        await seat.sees(f"✔ {server.url} answers", "team is in step")

    _sit(shared, play, size=(80, 24))


def _actor(name: str, word: str) -> str:
    return f"name: team/{name}\ndescription: '{word} [red]'\ntype: command\ncommand: ['true']\n"


def test_a_conflict_is_settled_with_both_versions_in_view(shared: Home) -> None:
    """What differs is marked, on one line where it belongs together; l keeps the one from here, s takes the server's."""
    mine, theirs = shared.fresh("mine"), shared.fresh("theirs")

    def change(name: str) -> None:
        path = shared.work / f"{name}.yaml"
        path.write_text(_actor(name, "ours"))
        shared.run("actor", "create", str(path), "--update")

    async def settle(seat: Seat, name: str, key: str, side: str) -> None:
        await seat.press("enter")
        await seat.sees(
            f"actor team/{name}: which version stays?", "here", "server, revision", "ours [red]", "theirs [red]"
        )
        await seat.press(key)
        await seat.until(lambda: seat.app.echoed == f"ca sync resolve actor team/{name} --take {side}")

    async def play(seat: Seat, server: ScriptedServer) -> None:
        await asyncio.to_thread(shared.set, "server.sync.auto", "false")
        for name in (mine, theirs):
            server.put(name, _actor(name, "base"))
        await asyncio.to_thread(shared.run, "server", "connect", server.url, "--namespace", "team")
        for name in (mine, theirs):
            await asyncio.to_thread(change, name)
            server.put(name, _actor(name, "theirs"))
        await seat.press("n")
        await seat.sees(
            "2 conflicts", f"actor    team/{mine}", "changed by somebody", "ours [red]", "≠", "theirs [red]"
        )
        await seat.press("enter")
        await seat.sees("which version stays?")
        await seat.press("escape")
        await seat.sees("2 conflicts")

        await settle(seat, mine, "l", "local")
        await seat.sees("1 conflict")
        await settle(seat, theirs, "s", "server")
        await seat.until(lambda: "1 conflict" not in seat.text())
        actors = {
            one["name"]: one["description"] for one in (await asyncio.to_thread(shared.data, "actor", "list"))["actors"]
        }
        assert (actors[f"team/{mine}"], actors[f"team/{theirs}"]) == ("ours [red]", "theirs [red]")

    _sit(shared, play)


def test_lines_of_two_versions_belong_together() -> None:
    """A line that changed stands beside what it became; one that only one side has stands beside nothing."""
    sides = Sides.of(("here", "server"), "a\nb\nc\nmine\n", "a\nB\nc\nd\n\x1b[31m\n")
    assert [pair.mark for pair in sides.pairs] == [SAME, CHANGED, SAME, CHANGED, RIGHT_ONLY]
    assert (sides.pairs[1].left, sides.pairs[1].right) == ("b", "B")
    assert sides.pairs[4].left is None
    assert "\x1b" not in (sides.pairs[4].right or "")
    assert [pair.mark for pair in Sides.of(("", ""), "a\nb", None).pairs] == [LEFT_ONLY, LEFT_ONLY]
