"""The room of the team server: connecting, the sync, and definitions that both sides changed."""

import asyncio
from collections.abc import Awaitable, Callable

from textual import events
from textual.widgets import Static

from cleveragents_tui.dashboard.screens.connect_form import OFFLINE, UNCHECKED
from cleveragents_tui.dashboard.widgets.side_by_side import CHANGED, LEFT_ONLY, RIGHT_ONLY, SAME, Sides
from daemon.team import wire
from tests.dashboard.dashboards import Seat, opened
from tests.dashboard.forms import field, refused, type_into
from tests.homes import Home
from tests.sync import hostile
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
        await seat.sees("No team server is connected", "c  ca server connect URL", "h  ca server start")
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


async def _open_form(seat: Seat) -> None:
    await seat.sees("No team server is connected")
    await seat.press("c")
    await seat.sees("Connect to a team server")


async def _fill(seat: Seat, *texts: str) -> None:
    """Paste texts into the fields in their order; the cursor is in the one after the last then."""
    for text in texts:
        if text:
            _paste(seat, text)
        await seat.press("tab")


def test_a_server_that_is_down_is_connected_to_offline(shared: Home) -> None:
    """What cannot be reached is told beside its address and changes nothing; offline it is written all the same."""
    nobody = "http://127.0.0.1:9"

    async def play(seat: Seat, server: ScriptedServer) -> None:
        await _open_form(seat)
        await _fill(seat, nobody, "team")
        await seat.press("ctrl+s")
        await seat.until(lambda: refused(seat).keys() == {"url"})
        assert (await asyncio.to_thread(shared.data, "server", "status"))["mode"] == "disabled"

        field(seat, "when").focus_control()
        await seat.press("enter", "down", "enter")
        await seat.until(lambda: field(seat, "when").text == OFFLINE)
        await seat.press("ctrl+s")
        await seat.until(lambda: [line.count(nobody) for line in seat.text().splitlines() if "✘" in line] == [1])
        assert seat.app.echoed == f"ca server connect {nobody} --namespace team --offline"
        assert not server.calls

    _sit(shared, play)


def test_a_certificate_that_nobody_trusts_is_a_choice(shared: Home) -> None:
    """It is refused beside the field that can let it pass; that it is not checked is said as long as it holds."""

    def script(request: hostile.Request) -> bytes:
        if request.path.endswith(wire.CARD_PATH):
            return hostile.respond(hostile.card(request, url=f"{team.url}/a2a"))
        return hostile.honest(request)

    async def play(seat: Seat, _server: ScriptedServer) -> None:
        await _open_form(seat)
        await _fill(seat, team.url, "team")
        await seat.press("ctrl+s")
        await seat.until(lambda: refused(seat).keys() == {"certificate"})

        assert seat.app.focused is not None
        await seat.press("enter", "end", "enter")
        await seat.until(lambda: field(seat, "certificate").text == UNCHECKED)
        await seat.press("ctrl+s")
        await seat.sees(f"✔ {team.url} answers", "team is in step", "certificate", "not checked")
        assert seat.app.echoed == f"ca server connect {team.url} --namespace team --no-tls-verify"

    with hostile.Server(script, certificate=hostile.LOOPBACK) as team:
        _sit(shared, play)


def test_everything_is_compared_when_somebody_asks(shared: Home) -> None:
    """F fetches all of it, what was not missing too."""

    async def play(seat: Seat, server: ScriptedServer) -> None:
        await _connect(shared, seat, server)
        before = server.calls[wire.FULL]
        await seat.press("F")
        await seat.sees("team: nothing new")
        assert (server.calls[wire.FULL], seat.app.echoed) == (before + 1, "ca sync full")

    _sit(shared, play)


def test_this_home_hosts_a_team_server(shared: Home) -> None:
    """It is started where a form says, its token is shown once and opens it, and it ends when somebody confirms."""
    made: list[str] = []

    async def play(seat: Seat, _server: ScriptedServer) -> None:
        await seat.sees("No team server is connected", "h Host")
        await seat.press("h")
        await seat.sees("Host a team server in this home")
        await type_into(seat, "port", "99999")
        await seat.press("ctrl+s")
        await seat.until(lambda: refused(seat) == {"port": "✘ must be a whole number from 0 to 65535"})
        await type_into(seat, "port", "0")
        await seat.press("ctrl+s")
        await seat.sees("this home hosts one at http://127.0.0.1:", "t Token", "H Stop hosting")
        assert seat.app.echoed == "ca server start --port 0"
        host = (await asyncio.to_thread(shared.data, "server", "status"))["host"]

        await seat.press("t")
        await seat.sees("A token for the team server")
        await type_into(seat, "namespace", "crew")
        await type_into(seat, "name", "ci")
        await seat.press("ctrl+s")
        await seat.sees("It may write crew", f"ca server connect {host['url']} --namespace crew --token-stdin")
        made.append(str(seat.app.screen.query_one("#token", Static).render()))
        await seat.press("y")
        await seat.until(lambda: seat.app.clipboard == made[0])
        await seat.press("escape")
        await seat.until(lambda: seat.app.echoed == "ca server token create --namespace crew --name ci")

        await seat.press("c")
        await seat.sees("Connect to a team server", host["url"])
        await type_into(seat, "namespace", "crew")
        await type_into(seat, "token", made[0])
        await seat.press("ctrl+s")
        await seat.sees(f"✔ {host['url']} answers", "crew is in step", "this home hosts one")

        await seat.press("H")
        await seat.sees("Stop the team server of this home?", host["url"])
        await seat.press("y")
        await seat.until(lambda: "this home hosts one" not in seat.text())
        assert seat.app.echoed == "ca server stop"

    try:
        _sit(shared, play)
    finally:
        shared.run("server", "stop")


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
        await seat.until(lambda: [line.count(server.url) for line in seat.text().splitlines() if "│ ✘" in line] == [1])
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
        await seat.until(lambda: seat.offers("sync.now"))
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
