"""The room of the locks: who holds what, how long still, and giving it back."""

import asyncio
import time

from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home


class HandClock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def test_the_empty_room_says_how_to_get_a_lock(home: Home) -> None:
    """With no lock it teaches; with no daemon it says so and counts nothing down, and diagnostics checks what it can."""
    clock = HandClock()

    async def play(seat: Seat) -> None:
        await seat.press("3")
        await seat.sees("No locks", "ca lock run NAME -- CMD")

        home.data("lock", "acquire", "deploy", "--ttl", "600", "--owner", "bob@far")
        await seat.sees("user:deploy", "bob@far", "09:")
        clock.ahead = 60
        await seat.sees("08:")

        await asyncio.to_thread(home.run, "daemon", "stop")
        await seat.until(lambda: seat.app.screen.has_class("-stale"))
        await seat.sees("user:deploy", "08:")
        clock.ahead = 300
        await seat.press("j", "k")
        await seat.pilot.resize_terminal(100, 30)
        await seat.sees("user:deploy", "08:")

        for room in ("2", "4", "6"):  # never seen before
            await seat.press(room)
            await seat.sees("There is no daemon, so nothing is known.")
        await seat.press("r")
        await seat.sees("✘ daemon  none runs", "→ ca daemon start", "✔ store")

    sit(home, play, clock=clock)


def _held(home: Home, name: str) -> bool:
    return any(lock["resource_id"] == name for lock in home.data("lock", "list")["locks"])


def test_a_lock_is_given_back_when_somebody_confirms(shared: Home) -> None:
    """The question names the holder, no is no, and yes is the command that is echoed."""
    lock = shared.data("lock", "acquire", "release[red]me", "--owner", "eve@[bold]x")

    async def play(seat: Seat) -> None:
        await seat.press("3")
        await seat.sees("user:release[red]me", "eve@[bold]x", "D Release")
        await seat.press("D")
        await seat.sees("holder: eve@[bold]x")
        await seat.press("escape")
        await seat.sees("D Release")
        assert _held(shared, "release[red]me")

        await seat.press("D")
        await seat.sees("holder: eve@[bold]x")
        await seat.press("y")
        await seat.sees("No locks")
        assert seat.app.echoed == f"ca lock release 'user:release[red]me' --owner 'eve@[bold]x' --fence {lock['fence']}"

    sit(shared, play)
    assert not _held(shared, "release[red]me")


def test_what_expires_is_found_without_being_told(shared: Home) -> None:
    """No event says that a lock has run out: the room asks when its time is over, says so in words, and cleans."""
    shared.data("lock", "acquire", "shortly", "--owner", "ann@x")
    shared.data("lock", "acquire", "kept", "--owner", "ann@x")

    async def play(seat: Seat) -> None:
        await seat.press("3")
        await seat.sees("▶ user:shortly", "▶ user:kept")
        shared.data("lock", "release", "shortly", "--owner", "ann@x")
        shared.data("lock", "acquire", "shortly", "--owner", "ann@x", "--ttl", "5")
        await seat.sees("⊘ user:shortly", "expired")
        await seat.press("C")
        await seat.sees("removed", "▶ user:kept")
        await seat.until(lambda: "shortly" not in seat.text())
        assert seat.app.echoed == "ca lock clean"

    sit(shared, play, size=(80, 24))
    shared.run("lock", "release", "kept", "--owner", "ann@x")


def test_the_lock_of_a_job_cannot_be_given_back(shared: Home) -> None:
    """A plan that runs holds its lock, and is called by its name; only what people hold can be released."""
    gate = shared.gate()
    plan = shared.use(shared.action(gate.command), shared.repository(), code=None)
    gate.wait()

    async def play(seat: Seat) -> None:
        await seat.press("3")
        await seat.sees(f"▶ plan:{plan}", f"  execute of {plan}", "holder    job:", "C Clean")
        assert "D Release" not in seat.text()
        await seat.press("enter")
        await seat.until(lambda: seat.app.current_mode == "plans")
        assert seat.app.echoed.startswith("ca plan show ")
        await seat.press("3")
        gate.open()
        await seat.until(lambda: seat.app.current_mode == "locks" and "plan:" not in seat.text())

    sit(shared, play)
    shared.run("plan", "wait", plan)
