"""Keys that are typed faster than anything opens, keys that can do nothing now, and the line that names those that can."""

import pytest
from textual.events import Key
from textual.widgets import Input

from cleveragents_tui.dashboard import keyboard
from cleveragents_tui.dashboard.palette import Palette
from cleveragents_tui.dashboard.screens.action_form import ActionForm
from cleveragents_tui.dashboard.screens.plans import PlansRoom
from cleveragents_tui.dashboard.screens.run_form import RunForm
from cleveragents_tui.dashboard.widgets.key_line import KeyLine
from cleveragents_tui.dashboard.widgets.top_bar import TopBar
from daemon import protocol
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home

NAMES = {"/": "slash", ":": "colon", " ": "space", "\t": "tab", "-": "minus", "\r": "enter"}


def burst(seat: Seat, text: str) -> None:
    """All of it in one moment, as a terminal delivers what was typed while nobody read."""
    for char in text:
        seat.app.post_message(Key(NAMES.get(char, char), char))


def room(seat: Seat) -> PlansRoom:
    """The plans."""
    found = seat.app.screen_stack[0]
    assert isinstance(found, PlansRoom)
    return found


async def go_to(seat: Seat, plan: str) -> None:
    """Put the cursor on a plan, and wait until the keyboard is about it."""
    found = await seat.app.link.call(protocol.PlanShow(plan=plan))
    room(seat).select(found.plan_id)
    await seat.until(lambda: (shown := room(seat).board.plan) is not None and shown.name == plan)


def typed(seat: Seat, text: str) -> bool:
    """Whether some field of the screen in view has exactly this in it."""
    return any(field.value == text for field in seat.app.screen.query(Input))


def key_line(seat: Seat) -> str:
    """The last line of the screen."""
    return seat.text().splitlines()[-1]


def test_what_is_typed_in_one_go_goes_to_what_the_first_key_opens(shared: Home) -> None:
    """`e`, `t` and `a` would otherwise do something to the plan under the cursor."""
    plan = shared.executed("true")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        burst(seat, "/greeta")
        await seat.until(lambda: room(seat).query_one("#filter", Input).value == "greeta")
        await seat.press("escape")
        burst(seat, ":theme")
        await seat.until(lambda: isinstance(seat.app.screen, Palette) and typed(seat, "theme"))
        await seat.press("escape")
        await seat.until(lambda: seat.app.screen is room(seat))
        burst(seat, "recho\ttab")
        await seat.until(lambda: isinstance(seat.app.screen, RunForm) and typed(seat, "echo"))
        found = await seat.app.link.call(protocol.PlanShow(plan=plan))
        assert (found.phase, found.state) == ("execute", "complete")

    sit(shared, play)


def test_what_is_typed_while_one_dialog_follows_another_is_for_the_second(home: Home) -> None:
    """Without an action, `n` asks whether to register one; `a` says yes."""

    async def play(seat: Seat) -> None:
        burst(seat, "na/tmp/x")
        await seat.until(lambda: isinstance(seat.app.screen, ActionForm) and typed(seat, "/tmp/x"))

    sit(home, play)


def test_what_happens_meanwhile_holds_no_key_of_a_dialog_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys wait for the worker that opens something; those that fetch what has changed come and go."""
    monkeypatch.setattr(keyboard, "PATIENCE", 1000.0)

    async def play(seat: Seat) -> None:
        await seat.press("colon")
        await seat.until(lambda: isinstance(seat.app.screen, Palette))
        await seat.app.run_worker(seat.app.link.call(protocol.Ping())).wait()
        await seat.pilot.pause()
        burst(seat, "theme")
        await seat.until(lambda: typed(seat, "theme"))

    sit(home, play)


def test_a_key_that_can_do_nothing_now_is_answered(shared: Home) -> None:
    plan = shared.executed("true")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.until(lambda: seat.offers("plan.revert") and not seat.offers("plan.undo"))
        await seat.press("u")
        await seat.sees(f"Undo: not now, {plan} is execute complete")

    sit(shared, play)


def test_a_dashboard_that_only_reads_says_so_when_a_key_would_write(shared: Home) -> None:
    plan = shared.executed("true")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        assert "read-only" in seat.text().splitlines()[0]
        await seat.press("X")
        await seat.sees("Cancel: this dashboard only reads")

    sit(shared, play, read_only=True)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_the_last_line_has_the_keys_of_what_has_the_keyboard(shared: Home, size: tuple[int, int]) -> None:
    """The way in or out comes first, then what the plan needs; a key that would be typed is not among them."""
    plan = shared.executed("echo new > new.txt")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.until(lambda: "⏎ Open  a Apply  d Diff  l Log" in key_line(seat))
        await seat.press("slash")
        await seat.until(lambda: "esc Back" in key_line(seat))
        assert "Project" not in key_line(seat)
        assert "Filter" not in key_line(seat)
        await seat.press("escape", "r")
        await seat.until(lambda: "^s" in key_line(seat))
        assert "Quit" not in key_line(seat)
        await seat.press("escape")
        await seat.until(lambda: "q Quit" in key_line(seat))
        assert len(seat.app.screen.query(KeyLine)) == 1

    sit(shared, play, size=size)


def test_the_first_plan_of_a_narrow_terminal_is_opened_by_enter(home: Home) -> None:
    """The list was not there before it, so it could not have the keyboard."""
    project = home.repository()

    async def play(seat: Seat) -> None:
        await seat.sees("✔  ca project add")
        plan = home.executed("echo seen", project=project)
        await seat.sees(plan)
        await seat.until(lambda: room(seat).board.has_focus)
        await seat.press("enter")
        await seat.until(lambda: room(seat).has_class("-opened"))

    sit(home, play, size=(80, 24))


def test_ctrl_c_tells_how_to_leave(shared: Home) -> None:
    async def play(seat: Seat) -> None:
        await seat.press("ctrl+c")
        await seat.sees("q leaves")

    sit(shared, play)


def test_the_names_of_the_rooms_can_be_clicked(shared: Home) -> None:
    async def play(seat: Seat) -> None:
        for name, title in (("locks", "Locks"), ("jobs", "Jobs"), ("plans", "Plans")):
            at = seat.text().splitlines()[0].index(title)
            assert await seat.pilot.click(TopBar, offset=(at, 0))
            await seat.until(lambda name=name: seat.app.current_mode == name)

    sit(shared, play, size=(120, 40))
