"""The room of the plans: the list, the plan under the cursor in each of its tabs, and what stands there without a daemon."""

from collections.abc import Awaitable, Callable

import pytest
from textual.widgets import Input

from cleveragents_tui.dashboard import themes
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.widgets.board import Board
from snapshots.conftest import COMPACT, LARGE, USUAL, Studio, settle
from snapshots.worlds import everyday
from tests.dashboard.dashboards import Seat
from tests.dashboard.scenery import identity
from tests.dashboard.world import World

SIZES = pytest.mark.parametrize("size", [COMPACT, USUAL], ids=["80x24", "120x40"])


@SIZES
def test_no_plans_yet(studio: Studio, size: tuple[int, int]) -> None:
    """No list: three keys, each with its command, to get the first plan."""

    async def play(seat: Seat) -> None:
        await seat.sees("ca project add", "ca run -- CMD", "ca plan use ACTION PROJECT")
        assert not seat.offers("plan.apply")

    assert studio.takes(World(), play, size)


@pytest.mark.parametrize("size", [COMPACT, USUAL, LARGE], ids=["80x24", "120x40", "200x50"])
def test_plans(studio: Studio, size: tuple[int, int]) -> None:
    """What needs her stands first, then what runs, waits and is done; where there is room, fix-types is beside it."""

    async def play(seat: Seat) -> None:
        await seat.sees("◆ NEEDS YOU", "▶ RUNNING", "◌ QUEUED", "✔ DONE", "fix-types", "upgrade-deps", "◆ 4 need you")
        assert seat.offers("plan.apply")

    assert studio.takes(everyday(studio.home), play, size)


def test_plans_in_the_light(studio: Studio) -> None:
    """The same on a light ground: every tone can be read."""
    theme = themes.LIGHT.name

    async def play(seat: Seat) -> None:
        seat.app.theme = theme
        await seat.sees("◆ NEEDS YOU")
        assert not seat.app.current_theme.dark

    assert studio.takes(everyday(studio.home), play)


def test_children_fold_under_their_parent(studio: Studio) -> None:
    """The children of modernise stand below it, each with its item and its own state; the one that failed says why."""

    async def play(seat: Seat) -> None:
        await go_to(seat, "modernise")
        await seat.press("space")
        await seat.sees("src/legacy", "src/wide 漢字", "src/[views]")
        assert seat.offers("plan.cancel")

    assert studio.takes(everyday(studio.home), play)


def test_filtered_plans(studio: Studio) -> None:
    """Only what has the word; the line that it was typed in stays, and the headings count what is left."""

    async def play(seat: Seat) -> None:
        await seat.press("slash", *"docs")
        await seat.until(lambda: "fix-types" not in seat.text() and "docs-pass" in seat.text())
        assert seat.app.screen.query_one("#filter", Input).value == "docs"

    assert studio.takes(everyday(studio.home), play, COMPACT)


# --- the tabs of a plan ------------------------------------------------------------------------------------------------------


def look(plan: str, key: str, *texts: str) -> Callable[[Seat], Awaitable[None]]:
    """Put the cursor on a plan, press the key of a tab, and wait for what it shows."""

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press(key)
        await seat.sees(*texts)

    return play


async def go_to(seat: Seat, plan: str) -> None:
    """The cursor is on a plan, and the plan is shown."""
    board = seat.app.screen.query_one(Board)
    seat.app.select_plan(identity(plan))
    await seat.until(lambda: board.plan is not None and board.plan.name == plan)
    await settle(seat)


def test_steps(studio: Studio) -> None:
    """What went well with its time, what failed with its exit code, what has not begun; above them why it stands."""
    play = look("upgrade-deps", "s", "test", "exit 1", "changelog", "pytest -q")
    assert studio.takes(everyday(studio.home), play, COMPACT)


@SIZES
def test_log(studio: Studio, size: tuple[int, int]) -> None:
    """The end of what the running step prints, in its colours; brackets are text, and the border says that it is followed."""
    play = look("docs-pass", "l", "checking spelling", "[unclosed] code block", "spelling · running")
    assert studio.takes(everyday(studio.home), play, size)


@pytest.mark.parametrize("size", [COMPACT, USUAL, LARGE], ids=["80x24", "120x40", "200x50"])
def test_diff(studio: Studio, size: tuple[int, int]) -> None:
    """The files with their counts beside the change of the first one; the words that differ stand out."""
    play = look("fix-types", "d", "routes.py", "items: Items")
    assert studio.takes(everyday(studio.home), play, size)


def test_decisions(studio: Studio) -> None:
    """What was decided below what it follows from; the choice that was given up is struck out, and says so."""
    play = look("fix-types", "t", "Annotate every function", "no behaviour changes", "strategy choice")
    assert studio.takes(everyday(studio.home), play)


def test_events(studio: Studio) -> None:
    """What happened to the plan, the latest first."""
    play = look("fix-types", "v", "plan.created", "step.finished", "09:16:53")
    assert studio.takes(everyday(studio.home), play)


def test_errors(studio: Studio) -> None:
    """The step that failed, the end of its log, and what can be done now."""
    play = look("upgrade-deps", "E", "AssertionError: expected 3, got 4", "ca plan execute upgrade-deps")
    assert studio.takes(everyday(studio.home), play, COMPACT)


# --- without a daemon, and without its verbs ---------------------------------------------------------------------------------


@SIZES
def test_daemon_gone(studio: Studio, size: tuple[int, int]) -> None:
    """A banner says that it is gone and from when the rest is; no verb that needs it is offered."""

    async def play(seat: Seat) -> None:
        studio.daemon.go()
        await seat.until(lambda: seat.app.pulse.link.status is Status.GONE and "ctrl+s" in seat.text())
        await seat.sees("✘ no daemon", "09:26:53", "fix-types")
        assert not seat.offers("plan.apply")

    assert studio.takes(everyday(studio.home), play, size)


def test_read_only(studio: Studio) -> None:
    """All there is to see, and in the footer nothing that changes anything."""

    async def play(seat: Seat) -> None:
        await seat.sees("fix-types")
        assert not seat.offers("plan.apply")
        assert seat.offers("plan.diff")

    assert studio.takes(everyday(studio.home), play, read_only=True)
