"""The other rooms: jobs, locks, the team server, settings, diagnostics; and the screen of conflicts."""

from snapshots import surroundings
from snapshots.tours import COMPACT, LARGE, USUAL, Guest, Play, Scene

BOTH = (COMPACT, USUAL)


def enter(key: str, *sees: str) -> Play:
    """Enter a room by its key, and wait for what it shows."""

    async def play(guest: Guest) -> None:
        await guest.press(key)
        await guest.sees(*sees)

    return play


async def server(guest: Guest) -> None:
    """One that answers, and a conflict that waits."""
    guest.world.server, guest.world.sync_conflicts = surroundings.connected(), [surroundings.sync_conflict()]
    await guest.press("4")
    await guest.sees("team.example.org", "1 conflict", "team/tidy", "pytest -q")


async def choice(guest: Guest) -> None:
    """Settle the conflict."""
    await server(guest)
    await guest.press("s")
    await guest.sees("which version stays?", "pytest -q", "ruff check --fix src tests")


async def unreachable(guest: Guest) -> None:
    """One that does not answer."""
    guest.world.server = surroundings.unreachable()
    await guest.press("4")
    await guest.sees("connection refused")


async def setting(guest: Guest) -> None:
    """Type what is no number."""
    await guest.press("5", "slash", *"max_w", "enter")
    await guest.sees("async.max_workers")
    await guest.press("enter")
    await guest.until(lambda: guest.app.screen.is_modal)
    await guest.press("x")
    await guest.until(lambda: "6x" in guest.text() or "must" in guest.text())


async def conflicts(guest: Guest) -> None:
    """Open those of unify-api."""
    await guest.go_to("unify-api")
    await guest.press("c")
    await guest.sees(
        "src/models.py", "src/limits.py", "1 open", "LIMIT = 20" if guest.app.size.width >= 100 else "LIMIT"
    )
    assert not guest.offers("plan.execute")


SCENES = (
    Scene("jobs", "What runs and what waits, then what is over with its error; the workers and the last minutes.",
          enter("2", "▶ QUEUE", "✔ FINISHED", "docs-pass", "runs 02:50", "3 of 4 workers busy"), (COMPACT, USUAL, LARGE)),
    Scene("locks", "Who holds what, since when and for how long; the one that expired says so; brackets are text.",
          enter("3", "user:deploy", "ada@laptop", "07:50 left", "expired"), BOTH),
    Scene("server", "What a team server is for, and how to have one.", enter("4", "ca server connect URL"), BOTH),
    Scene("server-with-a-conflict", "How the sync stands, what is not usable, and both versions side by side.", server, BOTH),
    Scene("server-that-does-not-answer", "What is wrong, with the reason, and what waits to be pushed.", unreachable, BOTH),
    Scene("choice-between-versions", "Both versions whole, and the keys that choose one.", choice, BOTH),
    Scene("settings", "Every key, its value and where it comes from; what is known of the one under the cursor.",
          enter("5", "core.automation-profile", "supervised", "async.max_workers", "global"), BOTH),
    Scene("setting-form", "A number is typed; what is wrong with it is said before it is written.", setting, BOTH),
    Scene("diagnostics", "What is broken first, then what deserves a look; the one under the cursor whole, with what to do.",
          enter("6", "repositories", "7 ok, 1 warning, 1 error", "ca diagnostics --repair"), BOTH),
    Scene("conflicts", "The files, what was chosen, and the versions of the one under the cursor with what differs marked.",
          conflicts, (COMPACT, USUAL, LARGE)),
)  # fmt: skip
