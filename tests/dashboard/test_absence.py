"""A daemon that does not answer, one that cannot be started, and what is said of it."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

from cleveragents_tui.dashboard.link import Status
from store import paths
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home


@contextmanager
def stopped(home: Home) -> Generator[None]:
    """The daemon is stopped as a machine that swaps stops it; it goes on afterwards."""
    pid = home.data("daemon", "status")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_daemon_that_does_not_answer_is_noticed_and_what_is_shown_is_not_called_live(shared: Home) -> None:
    """It is asked whether it is there when an answer is due; when it answers again all is as before."""
    plan = shared.executed("echo new > new.txt")

    async def play(seat: Seat) -> None:
        await seat.sees(plan)
        with stopped(shared):
            seat.app.select_plan(shared.fresh("whatever"))  # something is asked, and not answered
            await seat.sees("the daemon is not answering", "ca daemon restart")
            assert seat.app.screen.has_class("-stale")
            assert not seat.offers("plan.cancel")
            assert not seat.offers("app.start")
        await seat.until(lambda: seat.app.pulse.link.status is Status.UP and seat.offers("make.run"))
        assert not seat.app.screen.has_class("-stale")

    sit(shared, play)


def test_why_the_daemon_cannot_be_started_is_said_and_stays(home: Home) -> None:
    """The reason is not forgotten for the next attempt's, which only finds that none is there."""
    home.run("status")
    home.run("daemon", "stop")
    paths.resolve(home.environ).database.write_bytes(b"no store")

    async def play(seat: Seat) -> None:
        await seat.sees("✘ no daemon", "damaged")
        await seat.press("ctrl+r")
        await seat.until(lambda: seat.text().count("damaged") > 1)

    sit(home, play, up=False)


def test_a_start_that_was_asked_for_is_done_though_commands_do_not_start_one(home: Home) -> None:
    home.environ["CLEVERAGENTS_NO_AUTOSTART"] = "1"

    async def play(seat: Seat) -> None:
        await seat.sees("✘ no daemon", "ctrl+r starts it")
        await seat.press("ctrl+r")
        await seat.until(lambda: seat.app.pulse.link.status is Status.UP)

    sit(home, play, up=False)
