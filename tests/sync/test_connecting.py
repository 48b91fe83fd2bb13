"""Connecting to a team server and leaving it: wholly or not at all, and the old connection works until the new one does."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon import protocol
from daemon.sync import connecting
from daemon.team import wire
from store import config, errors
from store.database import Transaction
from store.paths import Paths
from tests import daemons
from tests.sync.scenes import Scene, actor, in_loop, scene
from tests.sync.scripted import Refusal, ScriptedServer
from tests.waiting import wait_until_async

NOBODY = "http://127.0.0.1:1"
COMMENTED = '# mine\n[core]\nlog-level = "info"  # keep\n\n[unknown]\nkey = 1\n'


def to(server: ScriptedServer, **given: Any) -> protocol.ServerConnect:
    words: dict[str, Any] = {"namespace": server.namespace, **given}
    return protocol.ServerConnect(url=server.url, **words)


async def connected(here: Scene, server: ScriptedServer, **given: Any) -> list[str]:
    """Connect; what was said."""
    found = await connecting.connect(here.syncer, to(server, **given))
    await here.rest()
    return found.messages


async def check_untouched(here: Scene, old: ScriptedServer, before: bytes) -> None:
    """The file is byte for byte as before, and the old connection works on its own schedule."""
    assert here.file == before
    status = here.syncer.status()
    assert (status.active, status.last_error) == (True, None)
    old.put("later", actor("later"))
    await here.after(300)
    assert "team/later" in here.actors()
    assert here.syncer.timer is not None
    assert here.syncer.timer.endpoint.url == old.url


# --- connect -----------------------------------------------------------------------------------------------------------


@in_loop
async def test_connect_writes_takes_over_and_syncs(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.put("one", actor("one"))
    async with scene(tmp_path, server) as here:
        here.places.config_file.write_text(COMMENTED)
        await here.syncer.start()
        await here.add_actor("mine")
        found = await connecting.connect(here.syncer, to(server, token="canary", tls_verify=False))
        assert found == ("9.9.9", True, [])
        assert here.actors() == ["team/mine", "team/one"]
        await here.rest()

        text = here.file.decode()
        assert text.startswith(COMMENTED)
        values = [here.settings.value(f"server.{key}") for key in ("url", "namespace", "token", "tls-verify")]
        assert values == [server.url, "team", "canary", False]
        assert here.places.config_file.stat().st_mode & 0o777 == 0o600
        assert ("actor", "mine") in server.entities
        assert set(server.tokens) == {"Bearer canary"}
        assert "server.connected" in here.kinds()
        status = here.syncer.status()
        assert (status.active, status.namespace, status.pending) == (True, "team", 0)
        assert status.pulls == 2


@in_loop
async def test_what_is_not_given_keeps_its_value(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.syncer.start()
        await connected(here, server, token="canary", tls_verify=False)
        before = here.file
        await connecting.connect(here.syncer, protocol.ServerConnect(url=server.url))

        assert here.file == before
        assert set(server.tokens) == {"Bearer canary"}


@in_loop
async def test_offline_asks_nobody(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        here.configure(sync_auto=False)
        await here.syncer.start()
        found = await connecting.connect(here.syncer, to(server, offline=True))

        assert found.version is None
        assert server.calls.total() == 0
        assert here.settings.value("server.url") == server.url


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"url": "ftp://127.0.0.1"}, "invalid_argument"),
    ({"url": "http://canary@127.0.0.1"}, "invalid_argument"),
    ({"namespace": "local"}, "invalid_argument"),
    ({"namespace": "a/b"}, "invalid_argument"),
    ({"namespace": ""}, "invalid_argument"),
    ({"token": ""}, "invalid_argument"),
    ({"token": "two words"}, "invalid_argument"),
]


@pytest.mark.parametrize(
    ("given", "code"),
    [*UNUSABLE, *(({**given, "offline": True}, code) for given, code in UNUSABLE), ({"url": NOBODY}, "unreachable")],
)
@in_loop
async def test_a_connect_that_cannot_be_leaves_everything(tmp_path: Path, given: dict[str, Any], code: str) -> None:
    old, new = ScriptedServer(), ScriptedServer()
    async with scene(tmp_path, old, new) as here:
        await here.start(old, token="canary-old")
        before = here.file
        words: dict[str, Any] = {"url": new.url, "namespace": "team", **given}
        request = protocol.ServerConnect(**words)
        with pytest.raises(errors.CleverAgentsError) as raised:
            await connecting.connect(here.syncer, request)

        assert raised.value.code == code
        assert "canary" not in repr((raised.value.message, raised.value.detail, raised.value.suggestions))
        assert new.calls.total() == 0
        await check_untouched(here, old, before)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([Refusal(401)], "unauthorized"),
        ([Refusal(403)], "forbidden"),
        ([Refusal(503)], "unreachable"),
        ([None, Refusal(503)], "unreachable"),
    ],
)
@in_loop
async def test_a_server_that_refuses_changes_nothing(tmp_path: Path, answers: list[Refusal | None], code: str) -> None:
    """Not even when it answers at first, and gives nothing when everything is fetched."""
    old, new = ScriptedServer(), ScriptedServer()
    async with scene(tmp_path, old, new) as here:
        await here.start(old)
        before = here.file
        new.refusals.extend(answers)
        with pytest.raises(errors.CleverAgentsError) as raised:
            await connected(here, new)

        assert raised.value.code == code
        await check_untouched(here, old, before)


@in_loop
async def test_another_version_of_the_protocol_changes_nothing(tmp_path: Path) -> None:
    old, new = ScriptedServer(), ScriptedServer(version="2.0")
    async with scene(tmp_path, old, new) as here:
        await here.start(old)
        before = here.file
        with pytest.raises(errors.VersionMismatchError):
            await connected(here, new, token="canary")

        assert new.tokens == []
        await check_untouched(here, old, before)


def block_temporary(places: Paths) -> None:
    (places.config / ".config.toml.new").mkdir()


def block_lock(places: Paths) -> None:
    (places.config / "config.toml.lock").unlink()
    (places.config / "config.toml.lock").mkdir()


@pytest.mark.parametrize("block", [block_temporary, block_lock])
@in_loop
async def test_a_configuration_that_cannot_be_written_changes_nothing(
    tmp_path: Path, block: Callable[[Paths], None]
) -> None:
    old, new = ScriptedServer(), ScriptedServer()
    new.put("theirs", actor("theirs"))
    async with scene(tmp_path, old, new) as here:
        await here.start(old)
        before = here.file
        block(here.places)
        with pytest.raises(errors.CleverAgentsError, match="cannot write"):
            await connected(here, new)

        assert "team/theirs" not in here.actors()
        await check_untouched(here, old, before)


@in_loop
async def test_a_configuration_that_does_not_parse_is_left_alone(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.syncer.start()
        here.places.config_file.write_text("[server\n")
        with pytest.raises(errors.InvalidConfigError, match="line 1"):
            await connected(here, server)

        assert here.file == b"[server\n"
        assert here.syncer.timer is None


@in_loop
async def test_a_full_disk_puts_the_configuration_back(tmp_path: Path) -> None:
    """What the new server has does not fit: the file is as before, and the old connection goes on."""
    old, new = ScriptedServer(), ScriptedServer()
    new.put("big", f"{actor('big')}description: {'x' * 500_000}\n")
    async with scene(tmp_path, old, new) as here:
        here.places.config_file.write_text(COMMENTED)
        await here.start(old, token="canary-old")
        before = here.file
        await limit_pages(here)
        with pytest.raises(errors.DiskFullError):
            await connected(here, new, token="canary-new")

        await here.db.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000"))
        await check_untouched(here, old, before)
        assert set(old.tokens) == {"Bearer canary-old"}


async def limit_pages(here: Scene) -> None:
    """Let the store grow no more."""

    def limit(tx: Transaction) -> None:
        tx.execute(f"PRAGMA max_page_count = {tx.scalar('PRAGMA page_count')}")

    await here.db.write(limit)


@in_loop
async def test_a_first_connect_that_fails_late_leaves_no_file(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.put("big", f"{actor('big')}description: {'x' * 500_000}\n")
    async with scene(tmp_path, server) as here:
        await here.syncer.start()
        await limit_pages(here)
        with pytest.raises(errors.DiskFullError):
            await connected(here, server)

        assert not here.places.config_file.exists()
        assert here.syncer.timer is None


@in_loop
async def test_the_old_connection_ends_when_the_new_one_begins(tmp_path: Path) -> None:
    """A run of the old one that is at work ends first, and none of it comes later."""
    old, new = ScriptedServer(), ScriptedServer()
    new.put("theirs", actor("theirs"))
    async with scene(tmp_path, old, new) as here:
        await here.start(old)
        old.gate.clear()
        run = asyncio.create_task(here.syncer.run("now"))
        await wait_until_async(lambda: old.pulls == 2)
        switch = asyncio.create_task(connected(here, new))
        await wait_until_async(here.syncer.switching.locked)
        await asyncio.to_thread(config.edit, tmp_path / "other.toml", {"lock.ttl": 90})
        assert here.settings.value("server.url") == old.url
        old.gate.set()
        await asyncio.gather(run, switch)

        asked = old.calls.total()
        assert here.actors() == ["team/theirs"]
        await here.after(600)
        assert old.calls.total() == asked


@in_loop
async def test_two_connects_at_once_leave_one_of_them(tmp_path: Path) -> None:
    one, two = ScriptedServer(), ScriptedServer()
    async with scene(tmp_path, one, two) as here:
        await here.syncer.start()
        await asyncio.gather(connected(here, one), connected(here, two))

        assert here.settings.value("server.url") == two.url
        assert here.syncer.timer is not None
        assert here.syncer.timer.endpoint.url == two.url


@in_loop
async def test_a_saved_token_is_not_sent_to_another_server(tmp_path: Path) -> None:
    old, new = ScriptedServer(), ScriptedServer()
    async with scene(tmp_path, old, new) as here:
        await here.syncer.start()
        await connected(here, old, token="canary-old")
        new.refusals.append(Refusal(401))
        with pytest.raises(errors.UnauthorizedError, match="the saved token was given for") as raised:
            await connected(here, new)
        assert "canary" not in raised.value.message

        (said,) = await connected(here, new)
        assert said == f"the saved token was given for {old.url}; it is not sent to {new.url}"
        assert set(new.tokens) == {None}
        await connected(here, old)
        assert set(old.tokens) == {"Bearer canary-old"}


@in_loop
async def test_an_environment_that_is_stronger_is_told(tmp_path: Path) -> None:
    """What was written is not in force, so nothing of it is taken over."""
    old, new = ScriptedServer(), ScriptedServer()
    new.put("theirs", actor("theirs"))
    async with scene(tmp_path, old, new) as here:
        await here.start(old)
        here.environ["CLEVERAGENTS_SERVER_URL"] = old.url
        found = await connecting.connect(here.syncer, to(new))

        assert not found.in_force
        assert found.messages == [
            "CLEVERAGENTS_SERVER_URL is set in the daemon's environment and is stronger than server.url in the file"
        ]
        assert new.url in here.file.decode()
        assert "team/theirs" not in here.actors()
        assert here.syncer.timer is not None
        assert here.syncer.timer.endpoint.url == old.url


@in_loop
async def test_the_end_of_the_daemon_ends_a_connect(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.gate.clear()
    async with scene(tmp_path, server) as here:
        await here.syncer.start()
        asked = asyncio.create_task(connected(here, server))
        await wait_until_async(lambda: server.calls[wire.STATUS] == 1)
        await here.syncer.stop()
        with pytest.raises(errors.DaemonUnavailableError):
            await asked

        assert not here.places.config_file.exists()


# --- disconnect --------------------------------------------------------------------------------------------------------


@in_loop
async def test_disconnect_forgets_the_server_and_keeps_what_came(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.put("one", actor("one"))
    async with scene(tmp_path, server) as here:
        here.places.config_file.write_text(COMMENTED)
        await here.syncer.start()
        await connected(here, server, token="canary", tls_verify=False)
        assert await connecting.disconnect(here.syncer) == []
        asked = server.calls.total()
        await here.after(600)

        assert server.calls.total() == asked
        assert here.file.decode().startswith(COMMENTED)
        assert "canary" not in here.file.decode()
        assert [here.settings.get(key).level for key in connecting.KEYS] == [config.Level.DEFAULT] * 4
        assert here.actors() == ["team/one"]
        assert here.kinds()[-1] == "server.disconnected"
        assert here.syncer.status().namespace is None


@in_loop
async def test_a_disconnect_in_a_pull_ends_it(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.put("one", actor("one"))
        server.gate.clear()
        here.pace.pass_by(300)
        await wait_until_async(lambda: server.pulls == 2)
        await connecting.disconnect(here.syncer)
        server.gate.set()
        await here.after(600)

        assert server.pulls == 2
        assert here.actors() == []


@in_loop
async def test_a_disconnect_after_a_connect_has_the_last_word(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.gate.clear()
    async with scene(tmp_path, server) as here:
        await here.syncer.start()
        asked = asyncio.create_task(connected(here, server))
        await wait_until_async(lambda: server.calls[wire.STATUS] == 1)
        left = asyncio.create_task(connecting.disconnect(here.syncer))
        server.gate.set()
        await asyncio.gather(asked, left)

        assert here.settings.value("server.url") is None
        assert here.syncer.timer is None


@in_loop
async def test_a_disconnect_that_cannot_be_written_goes_on_with_the_connection(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, token="canary")
        before = here.file
        block_temporary(here.places)
        with pytest.raises(errors.CleverAgentsError, match="cannot write"):
            await connecting.disconnect(here.syncer)

        await check_untouched(here, server, before)
        assert set(server.tokens) == {"Bearer canary"}


@in_loop
async def test_a_disconnect_without_a_connection_says_so(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.syncer.start()

        assert await connecting.disconnect(here.syncer) == ["no team server was connected"]
        assert here.kinds() == []


# --- the file ----------------------------------------------------------------------------------------------------------


def test_an_edit_is_taken_back_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"# mine\r\n[lock]\r\nttl = 60\r\n")
    edited = config.edit(path, {"lock.ttl": 90, "server.url": "http://x"})

    assert config.restore(path, edited)
    assert path.read_bytes() == b"# mine\r\n[lock]\r\nttl = 60\r\n"


def test_an_edit_is_not_taken_back_over_somebody_elses(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    edited = config.edit(path, {"lock.ttl": 90})
    config.edit(path, {"server.url": "http://x"})

    assert not config.restore(path, edited)
    assert config.Config(path, {}).value("lock.ttl") == 90


def test_an_edit_that_changed_nothing_needs_no_taking_back(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    config.edit(path, {"lock.ttl": 90})
    edited = config.edit(path, {"lock.ttl": 90})

    assert config.restore(path, edited)
    assert config.Config(path, {}).value("lock.ttl") == 90


# --- the daemon --------------------------------------------------------------------------------------------------------

POINTS = ["config.write", "config.fsync", "config.rename", "config.fsync-directory", "config.done"]


@pytest.mark.parametrize("point", POINTS)
def test_a_daemon_killed_while_it_connects_has_the_old_configuration_or_the_new_one(tmp_path: Path, point: str) -> None:
    with daemons.temporary_home(tmp_path / "h") as home:
        home.paths.create()
        home.paths.config_file.write_text(COMMENTED)
        first = home.start(crash_at=point)
        first.try_ask(protocol.ServerConnect(url=NOBODY, namespace="team", offline=True))
        assert first.died_of_crash()

        text = home.paths.config_file.read_text()
        whole = f'\n[server]\nurl = "{NOBODY}"\nnamespace = "team"\ntls-verify = true\n'
        assert text in {COMMENTED, COMMENTED + whole}
        assert (text != COMMENTED) == (point in {"config.fsync-directory", "config.done"})
        mode = home.start().ask(protocol.ServerStatus()).mode
        assert mode == ("disabled" if text == COMMENTED else "error")


@in_loop
async def test_a_daemon_connects_syncs_and_leaves(tmp_path: Path) -> None:
    """Over its socket; between its lives it remembers."""
    server = ScriptedServer()
    server.put("theirs", actor("theirs"))
    async with server:
        await asyncio.to_thread(live, tmp_path / "h", server)

    assert ("actor", "mine") in server.entities
    assert set(server.tokens) == {"Bearer canary"}


def live(root: Path, server: ScriptedServer) -> None:
    with daemons.temporary_home(root) as home:
        first = home.start()
        assert first.ask(protocol.ServerStatus()).mode == "disabled"
        found = first.ask(to(server, token="canary"))
        assert (found.mode, found.server_version, found.token_set, found.url) == (
            "connected",
            "9.9.9",
            True,
            server.url,
        )
        first.ask(protocol.ActorCreate(content=actor("mine").encode(), source="test"))
        first.ask(protocol.SyncRun(what="now"))
        first.stop()

        second = home.start()
        status = second.ask(protocol.ServerStatus())
        assert (status.mode, status.sync.entities, status.sync.active) == ("connected", 2, True)
        conflict(second, server)
        config.edit(home.paths.config_file, {"server.url": NOBODY})
        assert f"it is not sent to {NOBODY}" in home.ca("server", "status").stderr
        left = second.ask(protocol.ServerDisconnect())
        assert (left.mode, left.url, left.token_set) == ("disabled", None, False)
        assert "canary" not in home.log()
        second.stop()


def conflict(daemon: daemons.Daemon, server: ScriptedServer) -> None:
    """Both sides change one definition; a push says so, and a choice settles it."""
    config.edit(daemon.home.paths.config_file, {"server.sync.auto": False})
    assert daemon.ask(protocol.SettingsChanged()) == "noticed"
    server.put("theirs", actor("theirs", "/bin/theirs"))
    daemon.ask(protocol.ActorCreate(content=actor("theirs", "/bin/mine").encode(), source="test", update=True))
    with pytest.raises(errors.SyncConflictError, match="team/theirs"):
        daemon.ask(protocol.SyncRun(what="push"))
    (found,) = daemon.ask(protocol.SyncConflicts()).conflicts
    assert (found.local.content, found.server.content) == (
        actor("theirs", "/bin/mine"), actor("theirs", "/bin/theirs"),
    )  # fmt: skip
    daemon.ask(protocol.SyncResolve(kind="actor", name="team/theirs", take="local"))
    assert daemon.ask(protocol.SyncRun(what="push")).pushed == 1
    history = daemon.ask(protocol.SyncConflicts(history=True))
    assert (history.total, [version.origin for version in history.history]) == (0, ["server"])
