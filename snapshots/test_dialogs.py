"""What asks, and what tells: the previews, questions and forms that lie over a room."""

from cleveragents_tui.dashboard.dialogs import Question, Text
from cleveragents_tui.dashboard.screens.apply import ApplyDialog
from daemon import protocol
from snapshots import surroundings
from snapshots.conftest import COMPACT, Play, Studio, settle
from snapshots.test_plans import SIZES, go_to
from snapshots.worlds import everyday
from store import errors
from tests.dashboard.dashboards import Seat
from tests.dashboard.world import World


def after(*keys: str, plan: str = "fix-types", sees: tuple[str, ...]) -> Play:
    """Press keys while the cursor is on a plan, and wait for what they bring."""

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press(*keys)
        await seat.sees(*sees)

    return play


def full(studio: Studio) -> World:
    """A usual morning, and all that dialogs ask for."""
    world = everyday(studio.home)
    fix_types, *_ = world.needs_you
    world.previews = {fix_types.plan_id: surroundings.preview(fix_types)}
    world.actions = surroundings.actions()
    return world


@SIZES
def test_apply_that_merges(studio: Studio, size: tuple[int, int]) -> None:
    """Where it goes, how much, that it fits beside her own edit, which checks run first; Apply has the focus."""

    async def play(seat: Seat) -> None:
        await seat.press("a")
        await seat.sees(
            "working tree of main, nothing staged", "✔ merges cleanly", "yours: src/models.py", "ruff, tests"
        )
        assert seat.app.focused is not None
        assert seat.app.focused.id == "apply"

    assert studio.takes(full(studio), play, size)


def test_apply_that_collides(studio: Studio) -> None:
    """Which files collide, and how; leaving it has the focus."""
    world = full(studio)
    plan = world.needs_you[0]
    world.previews = {plan.plan_id: surroundings.preview(plan, collides=True)}

    async def play(seat: Seat) -> None:
        await seat.press("a")
        await seat.sees("✘ collides", "tests/test_old.py", "Try it all the same")
        assert isinstance(seat.app.screen, ApplyDialog)
        assert seat.app.focused is not None
        assert seat.app.focused.id == "leave"

    assert studio.takes(world, play)


def test_question(studio: Studio) -> None:
    """What would be cancelled, and how it stands; no is what enter means."""

    async def play(seat: Seat) -> None:
        await seat.press("X")
        await seat.sees("Cancel fix-types for good?", "execute complete")
        assert isinstance(seat.app.screen, Question)
        assert seat.app.focused is not None
        assert seat.app.focused.id == "no"

    assert studio.takes(full(studio), play, COMPACT)


def test_prompt(studio: Studio) -> None:
    """The end of the log of the step that failed, and room for advice below it."""
    play = after(
        "p", *"use 3.12", plan="upgrade-deps", sees=("Advice for upgrade-deps", "expected 3, got 4", "use 3.12")
    )
    assert studio.takes(full(studio), play, COMPACT)


def test_use_form(studio: Studio) -> None:
    """An action was found by its letters; its arguments are asked for, the project is to be chosen."""

    async def play(seat: Seat) -> None:
        await seat.press("n")
        await seat.sees("New plan", "annotate")
        await settle(seat)
        await seat.press(*"mod", "enter")
        await seat.sees("target", "level")
        assert "web" in seat.text()

    assert studio.takes(full(studio), play)


def test_run_form(studio: Studio) -> None:
    """A command was typed; project, name and profile are below it."""

    async def play(seat: Seat) -> None:
        await seat.press("r")
        await seat.sees("Run a command", "project", "profile")
        await seat.press(*"make check")
        await seat.sees("make check")
        assert not studio.daemon.broken

    assert studio.takes(full(studio), play)


def test_no_actions_yet(studio: Studio) -> None:
    """What an action is, with an example, and the two ways on."""
    play = after("n", sees=("No actions yet", "ruff check --fix", "ca run -- CMD"))
    assert studio.takes(everyday(studio.home), play)


@SIZES
def test_help(studio: Studio, size: tuple[int, int]) -> None:
    """What the screen shows, then its keys, each with a sentence."""

    async def play(seat: Seat) -> None:
        await seat.press("question_mark")
        await seat.sees("Help: Plans", "first those that need you")
        assert isinstance(seat.app.screen, Text)

    assert studio.takes(full(studio), play, size)


def test_palette(studio: Studio) -> None:
    """Verbs, plans and themes that have what was typed, the nearest first."""
    play = after("colon", *"docs", sees=("plan: docs-pass", "execute processing on docs"))
    assert studio.takes(full(studio), play)


def test_refusal(studio: Studio) -> None:
    """What the daemon refused, and what to do about it, beside the list that stays as it was."""
    world = full(studio)
    moved = "upgrade-deps is execute/processing by now"
    world.refusals = {
        protocol.PlanExecute: errors.InvalidTransitionError(moved, suggestions=["ca plan follow upgrade-deps"])
    }
    play = after("e", plan="upgrade-deps", sees=("invalid transition", moved, "→ ca plan follow upgrade-deps"))
    assert studio.takes(world, play)
