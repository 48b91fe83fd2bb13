"""The timer of a connection: when it syncs, when it does not, and what it says of itself."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from daemon.sync.pace import Pace
from daemon.team import wire
from store import errors
from store.clock import SECOND, Clock, rfc3339
from tests.sync.scenes import HOUR, actor, in_loop, scene
from tests.sync.scripted import Refusal, ScriptedServer
from tests.waiting import wait_until_async

DOWN = Refusal(500)
UNKNOWN = Refusal(401, {"WWW-Authenticate": "Bearer"})


@in_loop
async def test_pulls_at_the_start_and_then_every_interval(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        assert server.pulls == 1

        for count in range(2, 6):
            await here.after(299.9)
            assert server.pulls == count - 1
            await here.after(0.1)
            assert server.pulls == count

        status = here.syncer.status()
        assert (status.active, status.pulls, status.last_error) == (True, 5, None)
        assert status.last_pull_at is not None


@in_loop
async def test_an_interval_begins_when_the_pull_has_ended(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.gate.clear()
        here.pace.pass_by(300)
        await wait_until_async(lambda: server.pulls == 2)
        here.pace.pass_by(100)
        server.gate.set()
        await here.rest()

        await here.after(299)
        assert server.pulls == 2
        await here.after(1)
        assert server.pulls == 3


@in_loop
async def test_an_interval_is_stretched_by_the_jitter(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        here.pace.stretch = 1.1
        await here.start(server)

        await here.after(329)
        assert server.pulls == 1
        await here.after(1)
        assert server.pulls == 2


def test_jitter_is_ten_per_cent_at_most() -> None:
    pace = Pace(Clock())

    found = [pace.jitter(300) for _ in range(1000)]

    assert 270 <= min(found) < 285
    assert 315 < max(found) <= 330


@in_loop
async def test_runs_wait_for_each_other_and_equal_ones_join(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.gate.clear()
        asked = [asyncio.create_task(here.syncer.run(what)) for what in ("now", "now", "full", "pull", "full")]
        await wait_until_async(lambda: server.pulls == 2)
        server.gate.set()
        await asyncio.gather(*asked)

        assert server.at_once == 1
        assert (server.calls[wire.FULL], server.calls[wire.PULL]) == (2, 2)
        assert here.syncer.status().pulls == 4


@in_loop
async def test_who_joins_finds_his_own_change_pushed(tmp_path: Path) -> None:
    """The run that was joined had pushed already when the change was made."""
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        here.configure(sync_auto=False)
        await here.syncer.obey()
        await here.add_actor("one")
        server.held = (wire.PULL, 2)
        server.gate.clear()
        first = asyncio.create_task(here.syncer.run("now"))
        await wait_until_async(lambda: server.calls[wire.PULL] == 2)
        assert server.calls[wire.PUSH] == 1
        await here.add_actor("two")
        second = asyncio.create_task(here.syncer.run("now"))
        await asyncio.to_thread(server.gate.is_set)
        server.gate.set()
        await asyncio.gather(first, second)

        assert set(server.entities) == {("actor", "one"), ("actor", "two")}
        assert server.at_once == 1


@in_loop
async def test_failures_back_off_from_a_second_up_to_the_interval(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=10)
        server.refusal = DOWN
        await here.after(10)
        assert server.pulls == 2

        for count, back_off in enumerate((1, 2, 4, 8, 10, 10), start=3):
            await here.after(back_off - 0.1)
            assert server.pulls == count - 1
            await here.after(0.1)
            assert server.pulls == count

        assert (here.syncer.status().last_error or "").startswith(("unreachable", "protocol_error", "internal"))
        server.refusal = None
        await here.after(10)
        assert here.syncer.status().last_error is None
        assert [event.kind for event in here.events("sync.")] == ["sync.failed", "sync.recovered"]


@in_loop
async def test_a_server_that_was_down_for_a_day_is_in_step_with_one_run(tmp_path: Path) -> None:
    """It is asked once an interval meanwhile, and what both sides did is exchanged when it is back."""
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=3600)
        server.refusal = DOWN
        await here.after(HOUR)
        before = server.pulls
        for _ in range(24):
            await here.after(HOUR)
        assert server.pulls - before <= 24 + 12  # the doublings of the first hour
        await here.add_actor("one")
        server.put("two", actor("two"))

        server.refusal = None
        await here.after(HOUR)

        assert ("actor", "one") in server.entities
        assert "team/two" in here.actors()
        assert [event.kind for event in here.events("sync.f")] == ["sync.failed"]


@pytest.mark.parametrize("status", [429, 503])
@in_loop
async def test_retry_after_is_waited_for_whatever_happens(tmp_path: Path, status: int) -> None:
    """Neither the end of the back-off nor a change here or there asks a server that wants to be left alone."""
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=60)
        await wait_until_async(lambda: server.listeners)
        server.refusals.append(Refusal(status, {"Retry-After": "500"}))
        await here.after(60)
        assert server.pulls == 2

        await here.add_actor("one")
        server.put("two", actor("two"))
        await server.announce()
        await here.after(250)
        await here.after(249)
        assert server.pulls == 2
        await here.after(1)
        assert server.pulls >= 3
        assert ("actor", "one") in server.entities
        assert "team/two" in here.actors()


@in_loop
async def test_a_rest_that_is_asked_for_is_a_day_at_most(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.refusals.append(Refusal(503, {"Retry-After": "999999999"}))
        await here.after(300)
        await here.after(24 * HOUR)

        assert server.pulls == 3


@in_loop
async def test_an_unknown_token_stops_the_timer_until_somebody_asks(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, token="canary-one")
        server.refusal = UNKNOWN
        await here.after(300)
        status = here.syncer.status()
        assert (status.active, status.next_pull_at) == (False, None)
        assert (status.last_error or "").startswith("unauthorized: ")
        before = server.pulls

        await here.after(24 * HOUR)
        await here.add_actor("one")
        await here.after(HOUR)
        assert server.pulls == before
        with pytest.raises(errors.UnauthorizedError):
            await here.syncer.run("now")
        assert not here.syncer.status().active

        server.refusal = None
        await here.syncer.run("now")
        assert here.syncer.status().active
        await here.after(300)
        assert server.pulls == before + 3 + 1  # one more because the change was pushed


@in_loop
async def test_an_unknown_token_is_left_when_the_settings_change(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        server.refusal = UNKNOWN
        await here.start(server, token="canary-one")
        assert not here.syncer.status().active

        server.refusal = None
        here.configure(token="canary-two")
        here.syncer.notice_settings()
        await wait_until_async(lambda: here.syncer.status().active)
        await here.rest()
        assert server.tokens[-1] == "Bearer canary-two"
        assert here.syncer.status().last_error is None


@in_loop
async def test_a_machine_that_slept_pulls_once(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        here.pace.wall += round(8 * HOUR * SECOND)
        await here.after(60)
        assert server.pulls == 2

        await here.after(299)
        assert server.pulls == 2
        await here.after(1)
        assert server.pulls == 3


@in_loop
async def test_a_wall_clock_that_is_put_back_stops_nothing(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        here.pace.wall -= round(365 * 24 * HOUR * SECOND)

        await here.after(300)
        assert server.pulls == 2
        await here.after(300)
        assert server.pulls == 3


@in_loop
async def test_an_idle_timer_wakes_once_a_minute_at_most(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=86_400)
        here.pace.waits.clear()
        for _ in range(60):
            await here.after(60)

        assert server.pulls == 1
        assert len(here.pace.waits) == 60
        assert set(here.pace.waits) == {60.0}


@in_loop
async def test_another_interval_is_obeyed_at_once(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=3600)
        await here.after(100)
        here.configure(sync_interval=110)
        here.syncer.notice_settings()
        await wait_until_async(lambda: here.pace.waits[-1] == 10.0)

        await here.after(10)
        assert server.pulls == 2


@in_loop
async def test_another_interval_shortens_a_back_off(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.refusal = DOWN
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=3600)
        for back_off in (1, 2, 4, 8, 16, 32):
            await here.after(back_off)
        asked = server.calls.total()
        here.configure(sync_interval=5)
        here.syncer.notice_settings()
        await wait_until_async(lambda: here.pace.waits[-1] == 5.0)

        await here.after(5)
        assert server.calls.total() == asked + 1


@in_loop
async def test_a_timer_that_dies_is_not_silent(tmp_path: Path) -> None:
    """The daemon looks at `failed`, and ends with it."""
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)

        def broken() -> NoReturn:
            raise ZeroDivisionError

        here.pace.moment = broken
        here.pace.pass_by(300)
        with pytest.raises(ZeroDivisionError):
            await here.syncer.failed


@in_loop
async def test_a_changed_file_is_noticed_without_being_told(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=3600)
        here.configure(sync_interval=30)
        await here.after(60)

        await wait_until_async(lambda: server.pulls == 2)


@in_loop
async def test_auto_is_obeyed_at_once(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        await wait_until_async(lambda: here.syncer.status().streaming)
        here.configure(sync_auto=False)
        here.syncer.notice_settings()
        await wait_until_async(lambda: not here.syncer.status().active)
        await wait_until_async(lambda: not here.syncer.status().streaming)
        await here.after(HOUR)
        await here.add_actor("one")
        await here.after(HOUR)
        assert server.pulls == 1
        await here.syncer.run("now")
        assert server.pulls == 3

        here.configure(sync_auto=True)
        here.syncer.notice_settings()
        await wait_until_async(lambda: here.syncer.status().active)
        await here.rest()
        assert server.pulls == 4


@in_loop
async def test_a_changed_url_takes_over_and_never_gets_the_old_token(tmp_path: Path) -> None:
    one, two = ScriptedServer(), ScriptedServer()
    async with scene(tmp_path, one, two) as here:
        await here.start(one, token="canary-one")
        here.configure(url=two.url)
        here.syncer.notice_settings()
        await wait_until_async(lambda: two.pulls)
        await here.rest()

        assert set(one.tokens) == {"Bearer canary-one"}
        assert set(two.tokens) == {None}
        assert one.pulls == 1


@in_loop
async def test_a_change_made_here_is_pushed_soon_and_with_its_neighbours(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        for name in ("one", "two", "three"):
            await here.add_actor(name)
        await here.rest()
        assert server.calls[wire.PUSH] == 0

        await here.after(0.3)
        assert server.calls[wire.PUSH] == 1
        assert set(server.entities) == {("actor", "one"), ("actor", "two"), ("actor", "three")}


@in_loop
async def test_a_conflict_is_not_pushed_again_and_again(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.put("one", actor("one", "/bin/false"))
        await here.add_actor("one")
        await here.after(1)
        assert here.syncer.status().conflicts == 1
        before = server.pulls

        await here.db.write(lambda tx: tx.event("action.stored", action="local/other"))
        await here.after(1)
        assert (server.pulls, here.syncer.status().pending) == (before, 0)


@pytest.mark.parametrize(("status", "code"), [(403, "forbidden"), (413, "protocol_error")])
def test_a_refused_push_stops_no_pull(tmp_path: Path, status: int, code: str) -> None:
    """Neither one that is asked for nor those of the timer; and once nothing is to be pushed, nothing is wrong."""

    @in_loop
    async def script() -> None:
        server = ScriptedServer()
        async with scene(tmp_path, server) as here:
            await here.start(server)
            server.push_refusal = Refusal(status)
            await here.add_actor("mine")
            await here.after(1)
            found = here.syncer.status()
            assert (found.last_error or "").partition(":")[0] == code
            assert (found.pulls, found.pending) == (2, 1)

            server.put("one", actor("one"))
            assert (await here.syncer.run("pull")).pulled == 1
            server.put("two", actor("two"))
            with pytest.raises(errors.CleverAgentsError) as caught:
                await here.syncer.run("now")
            assert caught.value.code == code
            server.put("three", actor("three"))
            await here.after(300)
            assert set(here.actors()) == {"team/mine", "team/one", "team/two", "team/three"}
            assert here.syncer.status().last_pull_at == rfc3339(here.pace.now())

            await here.remove_actor("mine")
            pushes = server.calls[wire.PUSH]
            await here.syncer.run("now")
            assert here.syncer.status().last_error is None
            assert server.calls[wire.PUSH] == pushes

    script()


@in_loop
async def test_a_run_that_finds_nothing_writes_nothing(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.put("one", actor("one"))
    async with scene(tmp_path, server) as here:
        await here.start(server)
        assert here.actors() == ["team/one"]
        before = here.db.read.scalar("PRAGMA data_version"), here.kinds()
        for _ in range(5):
            await here.after(300)

        assert server.pulls == 6
        assert (here.db.read.scalar("PRAGMA data_version"), here.kinds()) == before


@in_loop
async def test_the_event_stream_makes_a_pull_at_once(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        await wait_until_async(lambda: here.syncer.status().streaming)
        server.put("one", actor("one"))
        await server.announce()

        await wait_until_async(lambda: here.actors() == ["team/one"])
        assert server.pulls == 2


@in_loop
async def test_what_is_known_already_is_not_pulled_again(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        await wait_until_async(lambda: here.syncer.status().streaming)
        waits = len(here.pace.waits)
        await server.announce()

        await wait_until_async(lambda: len(here.pace.waits) > waits)
        await here.rest()
        assert server.pulls == 1


@in_loop
async def test_a_failing_stream_is_no_failure_of_the_sync(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.streams = False
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=3600)
        await wait_until_async(lambda: server.calls["events"] == 1)
        await here.rest()
        for count, back_off in enumerate((1, 2, 4, 8), start=2):
            await wait_until_async(lambda back_off=back_off: back_off in here.pace.waits)
            await here.after(back_off)
            await wait_until_async(lambda count=count: server.calls["events"] == count)

        status = here.syncer.status()
        assert (status.streaming, status.last_error, status.active) == (False, None, True)
        server.streams = True
        await wait_until_async(lambda: 16 in here.pace.waits)
        await here.after(16)
        await wait_until_async(lambda: here.syncer.status().streaming)


@in_loop
async def test_a_broken_stream_comes_back(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        await wait_until_async(lambda: here.syncer.status().streaming)
        server.end_streams()
        await wait_until_async(lambda: not here.syncer.status().streaming)
        await wait_until_async(lambda: 1 in here.pace.waits)
        server.put("one", actor("one"))
        await here.after(1)
        await wait_until_async(lambda: here.syncer.status().streaming)
        await server.announce()

        await wait_until_async(lambda: here.actors() == ["team/one"])


@in_loop
async def test_nothing_happens_after_the_stop(tmp_path: Path) -> None:
    """A run that is at work is ended; what it would have brought is not there later."""
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.put("one", actor("one"))
        server.gate.clear()
        asked = asyncio.create_task(here.syncer.run("now"))
        await wait_until_async(lambda: server.pulls == 2)
        await here.syncer.stop()
        server.gate.set()
        with pytest.raises(errors.UnreachableError, match="was ended while it synced"):
            await asked

        assert here.actors() == []
        assert not here.syncer.status().active
        with pytest.raises(errors.DaemonUnavailableError):
            await here.syncer.run("now")


@in_loop
async def test_the_stop_waits_for_what_the_store_was_given(tmp_path: Path) -> None:
    """A page that waits to be written is written, or not, before the stop is over."""
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server)
        server.put("one", actor("one"))
        disk = threading.Event()
        slow = asyncio.create_task(here.db.write(lambda _tx: disk.wait()))
        asked = asyncio.create_task(here.syncer.run("now"))
        waiting = here.db._waiting  # pyright: ignore[reportPrivateUsage]  nothing else tells what was handed to the writer
        await wait_until_async(lambda: server.pulls == 2 and waiting.qsize() == 1)
        stopping = asyncio.create_task(here.syncer.stop())
        try:
            with pytest.raises(errors.UnreachableError):
                await asked
            await wait_until_async(lambda: waiting.qsize() == 2)
            assert not stopping.done()
        finally:
            disk.set()
        await asyncio.gather(slow, stopping)

        assert here.actors() == ["team/one"]


@in_loop
async def test_without_a_server_nothing_can_be_synced(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.syncer.start()
        status = here.syncer.status()
        assert (status.active, status.namespace, status.next_pull_at) == (False, None, None)

        with pytest.raises(errors.UnreachableError, match="no team server is connected") as raised:
            await here.syncer.run("now")
        assert raised.value.suggestions == ["ca server connect URL"]
        assert here.pace.waits == []


@in_loop
async def test_settings_that_cannot_be_used_are_told_and_obeyed_once_mended(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, token="no token", sync_auto=True)
        assert (here.syncer.status().last_error or "").startswith("invalid_argument: the token")
        with pytest.raises(errors.InvalidArgumentError):
            await here.syncer.run("now")

        here.configure(token="token")
        await here.syncer.run("now")
        await here.rest()
        assert here.syncer.status().last_error is None


@in_loop
async def test_a_failure_that_repeats_is_told_once(tmp_path: Path) -> None:
    server = ScriptedServer()
    server.refusal = DOWN
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=1)
        for _ in range(5):
            await here.after(1)

        assert server.calls.total() >= 6
        assert here.kinds() == ["sync.failed"]
        assert server.calls["events"] == 0


@in_loop
async def test_a_full_disk_does_not_end_the_timer(tmp_path: Path) -> None:
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, sync_interval=10)
        pages = await here.db.write(lambda tx: tx.scalar("PRAGMA page_count"))
        await here.db.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages}"))
        server.put("big", f"{actor('big')}description: {'x' * 500_000}\n")
        await here.after(10)
        assert (here.syncer.status().last_error or "").startswith("disk_full: ")

        await here.db.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000"))
        await here.after(10)
        assert here.syncer.status().last_error is None
        assert here.actors() == ["team/big"]


def test_a_daemon_that_is_not_connected_loads_no_http(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from tests.sync.scenes import scene

async def main():
    async with scene(Path(sys.argv[1])) as here:
        await here.syncer.start()
        here.syncer.notice_settings()
        here.syncer.status()

import daemon.main
asyncio.run(main())
print(sorted({"httpx", "httpcore", "daemon.sync.carrier"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout == "[]\n"


@in_loop
async def test_the_token_appears_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server = ScriptedServer()
    async with scene(tmp_path, server) as here:
        await here.start(server, token="canary-one")
        server.refusal = DOWN
        await here.after(300)
        server.refusal = UNKNOWN
        await here.after(1)

        assert "Bearer canary-one" in server.tokens
        shown = [repr(here.syncer.status()), repr(here.syncer.wanted()), caplog.text, repr(here.events(""))]
        assert not [text for text in shown if "canary" in text]
