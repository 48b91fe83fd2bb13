"""The states that a screen can be in: with nothing to show, refused, without a daemon, only to look at, in other colours."""

from cleveragents_tui.dashboard import themes
from cleveragents_tui.dashboard.link import Status
from daemon import protocol
from snapshots import scenes_dialogs, scenes_plans, scenes_rooms
from snapshots.scenes_rooms import enter
from snapshots.tours import COMPACT, USUAL, Guest, Play, Scene, in_theme
from store import errors

BOTH = (COMPACT, USUAL)

# --- nothing -----------------------------------------------------------------------------------------------------------------


async def no_plans(guest: Guest) -> None:
    """Three keys to the first one."""
    await guest.sees("ca project add", "ca run -- CMD", "ca plan use ACTION PROJECT")
    assert not guest.offers("plan.apply")


NOTHING = (
    Scene("plans", "Three keys, each with its command, to get the first plan.", no_plans, BOTH),
    Scene("jobs", "No job yet; the workers wait.", enter("2"), BOTH),
    Scene("locks", "Nobody holds anything, and what a lock is for.", enter("3"), BOTH),
)

# --- refused -----------------------------------------------------------------------------------------------------------------


def refused(play: Play) -> Play:
    """The same when nothing can be read."""

    async def scene(guest: Guest) -> None:
        broken = errors.InternalError("the store cannot be read: disk I/O error", suggestions=["ca diagnostics"])
        asked = (
            protocol.JobBoard, protocol.LockList, protocol.ServerStatus, protocol.Diagnostics, protocol.PlanDiff,
            protocol.PlanTree, protocol.PlanErrors, protocol.EventList, protocol.PlanPreview,
        )  # fmt: skip
        guest.world.refusals = dict.fromkeys(asked, broken)
        await play(guest)
        await guest.sees("the store cannot be read", "→ ca diagnostics")
        assert "looking…" not in guest.text()
        await guest.settle()
        await guest.without_notices()  # how many there are is a matter of how often it was tried

    return scene


REFUSED = (
    Scene("diff", "The change cannot be read, and why.", refused(scenes_plans.look("fix-types", "d")), BOTH),
    Scene("decisions", "What was decided cannot be read, and why.", refused(scenes_plans.look("fix-types", "t")), BOTH),
    Scene("errors", "What went wrong cannot be read, and why.", refused(scenes_plans.look("upgrade-deps", "E")), BOTH),
    Scene("jobs", "The jobs cannot be read, and why.", refused(enter("2")), BOTH),
    Scene("locks", "The locks cannot be read, and why.", refused(enter("3")), BOTH),
    Scene("server", "How the sync stands cannot be read, and why.", refused(enter("4")), BOTH),
    Scene("diagnostics", "Nothing could be checked, and why.", refused(enter("6")), BOTH),
)

# --- without a daemon --------------------------------------------------------------------------------------------------------


def gone(play: Play) -> Play:
    """See something, and then the daemon goes."""

    async def scene(guest: Guest) -> None:
        if guest.app.pulse.link.status is not Status.UP:
            guest.daemon.come()
            await guest.until(lambda: guest.app.pulse.link.status is Status.UP and guest.app.pulse.as_of)
            await guest.settle()
        await play(guest)
        guest.daemon.go()
        await guest.until(lambda: guest.app.pulse.link.status is Status.GONE)
        await guest.sees("✘ no daemon", "09:26:53")
        assert not guest.offers("plan.apply")

    return scene


GONE = (
    Scene("plans", "A banner says that it is gone and from when the rest is; no verb that needs it is offered.",
          gone(scenes_plans.plans), BOTH),
    Scene("log", "What was printed is still there, but nothing is followed.",
          gone(scenes_plans.look("docs-pass", "l", "checking spelling")), BOTH),
    Scene("jobs", "The times stand still.", gone(enter("2", "docs-pass")), BOTH),
    Scene("locks", "The countdowns stand still.", gone(enter("3", "user:deploy")), BOTH),
    Scene("server", "The countdown to the next pull stands still.", gone(scenes_rooms.server), BOTH),
    Scene("settings", "They are in a file, and can be read.", gone(enter("5", "async.max_workers")), BOTH),
    Scene("diagnostics", "What was found before.", gone(enter("6", "repositories")), BOTH),
    Scene("apply", "What was about to be applied cannot be by now.", gone(scenes_dialogs.apply), BOTH),
)  # fmt: skip

# --- only to look at ---------------------------------------------------------------------------------------------------------

READ_ONLY = (
    Scene("plans", "All there is to see, and no key that changes anything.", scenes_plans.plans, BOTH),
    Scene("diff", "The change, and no key that applies it.", scenes_plans.diff, BOTH),
    Scene("jobs", "The queue, and no key that cancels.", enter("2", "docs-pass"), BOTH),
    Scene("locks", "Who holds what, and no key that takes it away.", enter("3", "user:deploy"), BOTH),
    Scene("server", "How the sync stands, and no key that syncs or settles.", scenes_rooms.server, BOTH),
    Scene("settings", "Every setting, and no key that edits one.", enter("5", "async.max_workers"), BOTH),
    Scene("diagnostics", "What is broken, and no key that repairs.", enter("6", "repositories"), BOTH),
)

# --- other colours -----------------------------------------------------------------------------------------------------------


def _in(theme: str, name: str, says: str, play: Play) -> Scene:
    return Scene(f"{name}-in-{theme}", says, in_theme(theme, play), (USUAL,))


LIGHT = themes.LIGHT.name
THEMED = (
    _in(LIGHT, "plans", "On a light ground every tone can be read.", scenes_plans.plans),
    _in(LIGHT, "diff", "What came and what went can be told apart.", scenes_plans.diff),
    _in(LIGHT, "apply", "The dialog stands out from what lies below it.", scenes_dialogs.apply),
    _in(LIGHT, "jobs", "Workers and the last minutes.", enter("2", "docs-pass")),
    _in("nord", "plans", "A theme that knows nothing of tones.", scenes_plans.plans),
    _in("gruvbox", "diff", "A theme that knows nothing of tones.", scenes_plans.diff),
    _in("ansi-dark", "plans", "The terminal's own colours.", scenes_plans.plans),
    _in("ansi-dark", "question", "The buttons can be told apart.", scenes_dialogs.question),
)
COLOURLESS = (
    Scene("plans", "The line under the cursor is turned round.", scenes_plans.plans),
    Scene("diff", "Signs say what came and went; the words that differ are underlined.", scenes_plans.diff),
    Scene("question", "What has the focus is turned round.", scenes_dialogs.question),
    Scene("palette", "The hit under the cursor is turned round.",
          scenes_dialogs.after("colon", *"docs", sees=("plan: docs-pass",))),
)  # fmt: skip
