"""What asks, and what tells: the previews, questions and forms that lie over a room."""

from textual.widgets import Input

from cleveragents_tui.dashboard.dialogs import Question, Text
from cleveragents_tui.dashboard.screens.apply import ApplyDialog
from daemon import protocol
from snapshots import surroundings
from snapshots.tours import COMPACT, USUAL, Guest, Play, Scene
from store import errors

BOTH = (COMPACT, USUAL)


def after(*keys: str, plan: str = "fix-types", sees: tuple[str, ...]) -> Play:
    """Press keys while the cursor is on a plan, and wait for what they bring."""

    async def play(guest: Guest) -> None:
        await guest.go_to(plan)
        await guest.press(*keys)
        await guest.sees(*sees)

    return play


async def apply(guest: Guest) -> None:
    """Apply has the focus."""
    await guest.press("a")
    await guest.sees(
        "working tree of main, nothing staged", "✔ merges cleanly", "yours: src/models.py", "ruff", "tests"
    )
    assert guest.app.focused is not None
    assert guest.app.focused.id == "apply"


async def collides(guest: Guest) -> None:
    """Leaving it has the focus."""
    plan = guest.world.needs_you[0]
    guest.world.previews = {plan.plan_id: surroundings.preview(plan, collides=True)}
    await guest.press("a")
    await guest.sees("✘ collides", "tests/test_old.py", "Try it all the same")
    assert isinstance(guest.app.screen, ApplyDialog)
    assert guest.app.focused is not None
    assert guest.app.focused.id == "leave"


async def question(guest: Guest) -> None:
    """No has the focus."""
    await guest.press("X")
    await guest.sees("Cancel fix-types for good?", "execute complete")
    assert isinstance(guest.app.screen, Question)
    assert guest.app.focused is not None
    assert guest.app.focused.id == "no"


async def use(guest: Guest) -> None:
    """Find an action by its letters."""
    await guest.press("n")
    await guest.sees("New plan", "annotate")
    await guest.press(*"mod", "enter")
    await guest.sees("target", "level", "web")


async def run(guest: Guest) -> None:
    """Type a command."""
    await guest.press("r")
    await guest.sees("Run a command", "project", "profile")
    await guest.press(*"make check")
    await guest.sees("make check")


async def no_actions(guest: Guest) -> None:
    """There are none."""
    guest.world.actions = []
    await guest.press("n")
    await guest.sees("No actions yet", "ruff check --fix", "ca run -- CMD")


async def project(guest: Guest) -> None:
    """The directory that is filled in is another one on each machine."""
    await guest.press("plus")
    await guest.until(lambda: guest.app.screen.is_modal)
    guest.app.screen.query(Input).first().value = "/usr"
    await guest.sees("/usr", "name")


async def register(guest: Guest) -> None:
    """By the palette, for it has no key."""
    await guest.press("colon", *"register an", "enter")
    await guest.sees("file")


async def connect(guest: Guest) -> None:
    """The address of a team server is asked for."""
    await guest.press("4")
    await guest.sees("ca server connect URL")
    await guest.press("c")
    await guest.until(lambda: guest.app.screen.is_modal)


async def help_(guest: Guest) -> None:
    """What the screen is for."""
    await guest.press("question_mark")
    await guest.sees("Help: Plans", "first those that need you")
    assert isinstance(guest.app.screen, Text)


async def refusal(guest: Guest) -> None:
    """The daemon says no."""
    moved = "upgrade-deps is execute/processing by now"
    guest.world.refusals = {
        protocol.PlanExecute: errors.InvalidTransitionError(moved, suggestions=["ca plan follow upgrade-deps"])
    }
    await after("e", plan="upgrade-deps", sees=("invalid transition", "ca plan follow"))(guest)


SCENES = (
    Scene("apply", "Where it goes, how much, that it fits beside her own edit, which checks run first.", apply, BOTH),
    Scene("apply-that-collides", "Which files collide, and how.", collides, BOTH),
    Scene("question", "What would be cancelled, and how it stands; no is what enter means.", question),
    Scene("prompt", "The end of the log of the step that failed, and room for advice below it.",
          after("p", *"use 3.12", plan="upgrade-deps", sees=("Advice for upgrade-deps", "expected 3, got 4", "use 3.12"))),
    Scene("rollback", "The steps whose checkpoint the sandbox can go back to.",
          after("B", sees=("Rollback", "annotate", "format"))),
    Scene("use-form", "An action was found by its letters; its arguments are asked for, the project is to be chosen.", use,
          BOTH),
    Scene("run-form", "A command was typed; project, name and profile are below it.", run, BOTH),
    Scene("project-form", "A directory, and a name for it.", project),
    Scene("action-form", "The file of an action.", register),
    Scene("connect-form", "The address of a team server, and what it wants to know.", connect),
    Scene("no-actions", "What an action is, with an example, and the two ways on.", no_actions, BOTH),
    Scene("help", "What the screen shows, then its keys, each with a sentence.", help_, BOTH),
    Scene("palette", "Verbs, plans and themes that have what was typed, the nearest first.",
          after("colon", *"docs", sees=("plan: docs-pass", "execute processing on docs")), BOTH),
    Scene("palette-nothing", "Nothing has what was typed.", after("colon", *"qqqq", sees=("qqqq",))),
    Scene("refusal", "What the daemon refused and what to do, beside the list that stays as it was.", refusal, BOTH),
)  # fmt: skip
