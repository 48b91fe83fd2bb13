"""The other rooms: jobs, locks, the team server, settings, diagnostics; and the screen of conflicts."""

from snapshots import surroundings
from snapshots.conftest import COMPACT, Play, Studio, settle
from snapshots.test_plans import SIZES, go_to
from snapshots.worlds import everyday
from tests.dashboard.dashboards import Seat
from tests.dashboard.world import World

CONFIG = """\
[tui]
theme = "cleveragents"

[async]
max_workers = 6

[server]
url = "https://team.example.org"
token = "a secret that nobody sees"

[projects."local/web"]
apply = { mode = "commit" }
"""


def enter(key: str, *sees: str) -> Play:
    """Enter a room by its key, and wait for what it shows."""

    async def play(seat: Seat) -> None:
        await seat.press(key)
        await seat.sees(*sees)

    return play


# --- jobs and workers --------------------------------------------------------------------------------------------------------


@SIZES
def test_jobs(studio: Studio, size: tuple[int, int]) -> None:
    """What runs and what waits, then what is over with its error; the workers and the last minutes beside it."""
    play = enter("2", "▶ QUEUE", "✔ FINISHED", "docs-pass", "runs 02:50", "3 of 4 workers busy")
    assert studio.takes(everyday(studio.home), play, size)


# --- locks -------------------------------------------------------------------------------------------------------------------


def test_locks(studio: Studio) -> None:
    """Who holds what, since when and for how long; the one that expired says so, and its brackets are text."""
    world = everyday(studio.home)
    world.locks = surroundings.locks(world.running[0])
    play = enter("3", "user:deploy", "ada@laptop", "07:50 left", "expired")
    assert studio.takes(world, play, COMPACT)


# --- the team server ---------------------------------------------------------------------------------------------------------


async def look_at_the_conflict(seat: Seat) -> None:
    """Enter the room, with the keyboard in the list of conflicts."""
    await seat.press("4")
    await seat.sees("team.example.org", "1 conflict", "team/tidy", "pytest -q")
    await settle(seat)


@SIZES
def test_server_with_a_conflict(studio: Studio, size: tuple[int, int]) -> None:
    """How the sync stands, when it pulls next, what is not usable, and below it both versions side by side."""
    world = everyday(studio.home)
    world.server, world.sync_conflicts = surroundings.connected(), [surroundings.sync_conflict()]
    assert studio.takes(world, look_at_the_conflict, size)


def test_server_that_does_not_answer(studio: Studio) -> None:
    """What is wrong, with the reason, and what waits to be pushed."""
    world = everyday(studio.home)
    world.server = surroundings.unreachable()
    assert studio.takes(world, enter("4", "connection refused", "in 1 m"))


def test_no_server_yet(studio: Studio) -> None:
    """What a team server is for, and how to have one."""
    assert studio.takes(everyday(studio.home), enter("4", "No team server is connected.", "ca server connect URL"))


def test_choice_between_versions(studio: Studio) -> None:
    """Both versions whole, and the keys that choose one."""
    world = everyday(studio.home)
    world.server, world.sync_conflicts = surroundings.connected(), [surroundings.sync_conflict()]

    async def play(seat: Seat) -> None:
        await look_at_the_conflict(seat)
        await seat.press("enter")
        await seat.sees("which version stays?", "pytest -q", "ruff check --fix src tests")

    assert studio.takes(world, play)


# --- settings ----------------------------------------------------------------------------------------------------------------


def configure(studio: Studio) -> World:
    """A home with a configuration of its own."""
    config = studio.home / "config"
    config.mkdir()
    (config / "config.toml").write_text(CONFIG)
    return everyday(studio.home)


@SIZES
def test_settings(studio: Studio, size: tuple[int, int]) -> None:
    """Every key, its value and where it comes from; what is known of the one under the cursor."""
    play = enter("5", "core.automation-profile", "supervised", "async.max_workers", "global")
    assert studio.takes(configure(studio), play, size)


def test_setting_form(studio: Studio) -> None:
    """A number is typed; what is wrong with it is said before it is written."""

    async def play(seat: Seat) -> None:
        await seat.press("5", "slash", *"max_w", "enter")
        await seat.sees("async.max_workers")
        await seat.press("enter")
        await seat.until(lambda: seat.app.screen.is_modal)
        await seat.press("x")
        await seat.until(lambda: "6x" in seat.text() or "must" in seat.text())

    assert studio.takes(configure(studio), play, COMPACT)


# --- diagnostics -------------------------------------------------------------------------------------------------------------


@SIZES
def test_diagnostics(studio: Studio, size: tuple[int, int]) -> None:
    """What is broken first, then what deserves a look; the one under the cursor is told whole, with what to do."""
    world = everyday(studio.home)
    world.checks = surroundings.checks()
    play = enter("6", "repositories", "7 ok, 1 warning, 1 error", "ca diagnostics --repair")
    assert studio.takes(world, play, size)


# --- conflicts of children ---------------------------------------------------------------------------------------------------


def conflicting(studio: Studio) -> World:
    """A plan with two files that do not fit together."""
    world = everyday(studio.home)
    found = surroundings.conflicts()
    world.conflicts = {found.plan_id: found}
    return world


async def _open_conflicts(seat: Seat) -> None:
    await go_to(seat, "unify-api")
    await seat.press("c")
    await seat.sees("src/models.py", "src/limits.py", "1 open", "LIMIT = 20" if seat.app.size.width >= 100 else "LIMIT")
    assert not seat.offers("plan.execute")


@SIZES
def test_conflicts(studio: Studio, size: tuple[int, int]) -> None:
    """The files, what was chosen, and the versions of the one under the cursor with what differs marked."""
    assert studio.takes(conflicting(studio), _open_conflicts, size)
