"""The plans: seen as they happen, acted on by keys, whatever another client or the daemon does meanwhile."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.events import Key, Paste
from textual.widget import Widget
from textual.widgets import Input, Static

from cleveragents_tui.dashboard.acts import ACTS
from cleveragents_tui.dashboard.dialogs import Question, Text
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.palette import Palette
from cleveragents_tui.dashboard.screens.apply import ApplyDialog
from cleveragents_tui.dashboard.screens.plans import PlansRoom
from cleveragents_tui.dashboard.screens.rollback import StepChoice
from cleveragents_tui.dashboard.widgets.step_rows import StepRows
from daemon import protocol, views
from tests.cli import colliding
from tests.cli.test_subplans import family
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home


@pytest.fixture(scope="module")
def desk() -> Iterator[Home]:
    """A home whose plans are those of this module."""
    with Home() as made:
        yield made


def room(seat: Seat) -> PlansRoom:
    """The plans."""
    found = seat.app.screen_stack[0]
    assert isinstance(found, PlansRoom)
    return found


def under_cursor(seat: Seat) -> views.PlanView:
    """The plan that the keys are about."""
    plan = room(seat).board.plan
    assert plan is not None
    return plan


async def go_to(seat: Seat, plan: str) -> None:
    """Put the cursor on a plan, and wait until it is there."""
    found = await seat.app.link.call(protocol.PlanShow(plan=plan))
    room(seat).select(found.plan_id)
    await is_on(seat, plan)


async def is_on(seat: Seat, plan: str) -> None:
    """Wait until the cursor is on a plan."""
    await seat.until(lambda: room(seat).board.plan is not None and under_cursor(seat).name == plan)


async def reaches(seat: Seat, phase: str, state: str) -> None:
    """Wait until the plan under the cursor is somewhere."""
    await seat.until(lambda: (under_cursor(seat).phase, under_cursor(seat).state) == (phase, state))


def executed(desk: Home, command: str = "echo new > new.txt") -> tuple[str, Path]:
    """A plan that waits for Apply, and its project."""
    project = desk.repository()
    return desk.executed(command, project=project), project


# --- from one key to the next ---------------------------------------------------------------------------------------------


def test_a_change_is_reviewed_applied_and_undone(desk: Home) -> None:
    """The digest that was on the screen is what is applied; undo is one key away."""
    plan, project = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("d")
        await seat.sees("new.txt", "+ new")
        await seat.press("escape", "a")
        await seat.sees("working tree of main, nothing staged", "✔ merges cleanly", "the change you reviewed")
        await seat.press("enter")
        await reaches(seat, "apply", "applied")
        assert (project / "new.txt").read_text() == "new\n"
        digest = desk.plan(plan)["diff"]["digest"]
        assert seat.app.echoed == f"ca plan apply {plan} --yes --mode worktree --expect {digest}"
        await seat.press("u")
        await seat.sees(f"Take the change of {plan} out of the project again?")
        await seat.press("y")
        await reaches(seat, "execute", "complete")
        assert not (project / "new.txt").exists()
        assert seat.app.echoed == f"ca plan undo {plan} --yes"

    sit(desk, play)


def test_apply_says_what_collides_and_leaves_it_unless_told_otherwise(desk: Home) -> None:
    plan, project = executed(desk, "echo theirs > a.txt")
    (project / "a.txt").write_text("mine\n")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("a")
        await seat.sees("✘ collides with what is there now; nothing would be written", "a.txt (content)")
        await seat.press("enter")
        await seat.until(lambda: not isinstance(seat.app.screen, ApplyDialog))

    sit(desk, play)
    assert desk.plan(plan)["state"] == "complete"
    assert (project / "a.txt").read_text() == "mine\n"


def test_apply_is_shown_in_another_mode_before_it_is_done_in_it(desk: Home) -> None:
    plan, project = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("a")
        await seat.sees("nothing staged")
        await seat.press("m")
        await seat.sees("staged, nothing committed")
        await seat.press("a")
        await reaches(seat, "apply", "applied")

    sit(desk, play)
    assert desk.git(project, "diff", "--cached", "--name-only") == "new.txt"


def test_what_was_reviewed_and_has_changed_since_is_not_applied(desk: Home) -> None:
    plan, project = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("a")
        await seat.sees("the change you reviewed")
        desk.data("plan", "revert", plan, "--yes")
        (project / "a.txt").write_text("moved\n")
        desk.data("plan", "execute", plan, "--wait")
        desk.data("plan", "execute", plan, "--wait", code=None)
        await seat.press("a")
        await seat.sees("change moved")

    sit(desk, play)
    assert not (project / "new.txt").exists()


def test_why_a_step_failed_is_seen_and_guidance_leads_on(desk: Home) -> None:
    """From a failed step to its last words, a word of advice, and on."""
    project = desk.repository()
    cure = desk.root / desk.fresh("cure")
    plan = desk.executed(f"test -e '{cure}' || {{ echo 'E assert 3 == 4'; exit 1; }}", project=project, code=1)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("E")
        await seat.sees("failed: exit 1", "E assert 3 == 4", "e  Start Execute, or go on after an error.")
        await seat.press("p")
        await seat.sees("E assert 3 == 4")
        await seat.press(*"try 4", "ctrl+s")
        await seat.until(lambda: seat.app.echoed.startswith("ca plan prompt"))
        assert desk.data("plan", "tree", plan)["decisions"][-1]["kind"] == "user_intervention"
        cure.touch()
        await seat.press("e")
        await reaches(seat, "execute", "complete")

    sit(desk, play)


def test_a_plan_is_cancelled_only_when_that_is_confirmed(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("X")
        await seat.sees("for good?")
        await seat.press("enter")
        await seat.until(lambda: not isinstance(seat.app.screen, Question))
        assert desk.plan(plan)["state"] == "complete"
        await seat.press("X")
        await seat.sees("for good?")
        await seat.press("y")
        await reaches(seat, "execute", "cancelled")

    sit(desk, play)


def test_a_plan_is_started_over_and_rolled_back(desk: Home) -> None:
    project = desk.repository()
    plan = desk.executed("echo 1 > one", "echo 2 > two", project=project)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("B")
        await seat.until(lambda: isinstance(seat.app.screen, StepChoice))
        await seat.press("enter")
        await seat.until(lambda: seat.app.echoed.startswith("ca plan rollback"))
        assert desk.step(plan, "s2")["state"] == "skipped"
        await seat.until(lambda: seat.offers("plan.revert"))
        await seat.press("R")
        await seat.sees("Start", "over from Strategize?")
        await seat.press("y")
        await seat.until(lambda: under_cursor(seat).reversions == 1)

    sit(desk, play)


def test_why_it_stands_there_and_what_it_made_are_said_as_ca_says_it(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        for key, command, words in (("w", "explain", "ca plan apply"), ("A", "artifacts", "commits of")):
            await seat.press(key)
            await seat.until(lambda: isinstance(seat.app.screen, Text))
            await seat.sees(words)
            assert seat.app.echoed == f"ca plan {command} {plan}"
            await seat.press("escape")
            await seat.until(lambda: not isinstance(seat.app.screen, Text))

    sit(desk, play)


def test_a_child_that_does_not_fit_is_marked_with_the_key_that_settles_it(desk: Home) -> None:
    """Its line says in which file; the others say whether they are in. How long each worked stands still when it is through."""
    plan = colliding.plan(desk, {"left": "sed -i s/5/LEFT/ f", "right": "sed -i s/5/RIGHT/ f"})

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.sees("1/2 in", "c settles f (content)", "conflict: f")
        left, right = (line_of(seat, item) for item in ("✔ left ", "✘ right "))
        assert " in " in left
        assert "does not fit" in right
        assert not {"m", "h"} & {
            *left.split()[-3:],
            *right.split()[-3:],
        }  # of an hour later: what took long is a minute
        entry = room(seat).pane.query_one(StepRows).entry
        assert entry is not None
        assert entry.misfit is not None  # what there is to do is under the cursor
        desk.data("plan", "resolve", plan, "f", "--take", "child")
        await seat.sees("◆ right", "settled", "e goes on")

    sit(desk, play, clock=lambda: time.time() + 3_600)


def line_of(seat: Seat, text: str) -> str:
    """What the right side of the screen has in the line of a text."""
    width = room(seat).board.region.right
    lines = (line[width + 1 :].strip("│ ") for line in seat.text().splitlines())
    return next(line for line in lines if text in line)


def test_the_logs_of_all_attempts_are_reached_and_named(desk: Home) -> None:
    """What is echoed prints the same log."""
    plan = desk.executed("true", "echo $(date +%N) of an attempt; exit 3", project=desk.repository(), code=1)
    desk.run("plan", "execute", plan, "--wait", code=1)
    first, second = (desk.run("plan", "logs", plan, "--step", "s2", "--attempt", number).out.strip() for number in "12")
    assert first != second

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("l")
        await seat.sees("step s2, attempt 2 of 2, failed, exit 3", second)
        await seat.press("left_parenthesis")
        await seat.sees("step s2, attempt 1 of 2", first)
        assert seat.app.echoed == f"ca plan logs {plan} --step s2 --attempt 1"
        await seat.press("left_parenthesis")  # there is none before it
        await seat.press("left_square_bracket")
        await seat.sees("step s1, attempt 1, succeeded")
        assert seat.app.echoed == f"ca plan logs {plan} --step s1"
        await seat.press("right_square_bracket")
        await seat.sees("step s2, attempt 2 of 2", second)

    sit(desk, play)


def test_events_and_decisions_are_read_whole_on_enter(desk: Home) -> None:
    """A line says what matters in words, and is cut with a sign for it."""
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("v")
        await seat.sees("execute: processing → complete", "strategize complete → exe", "s1 · succeeded")
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, Text))
        assert f"plan {under_cursor(seat).plan_id}" in seat.dialog()
        await seat.press("escape")
        await seat.until(lambda: isinstance(seat.app.screen, PlansRoom))
        await seat.press("t")
        await seat.sees("strategy choice")
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, Text))
        assert "question" in seat.dialog()

    sit(desk, play)


def test_what_was_changed_since_is_kept_when_the_rest_is_undone(desk: Home) -> None:
    """Undo says what moved, and asks once more."""
    project = desk.repository()
    plan = desk.executed("echo new > new.txt; echo other > other.txt", project=project)
    desk.data("plan", "apply", plan, "--yes", "--wait")
    (project / "new.txt").write_text("mine\n")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("u")
        await seat.sees("out of the project again?")
        await seat.press("y")
        await seat.sees("Take the rest of it out?", "new.txt")
        await seat.press("y")
        await reaches(seat, "execute", "complete")
        assert seat.app.echoed == f"ca plan undo {plan} --keep-going --yes"

    sit(desk, play)
    assert (project / "new.txt").read_text() == "mine\n"
    assert not (project / "other.txt").exists()


# --- what happens meanwhile -------------------------------------------------------------------------------------------------


def test_the_cursor_stays_on_its_plan_while_another_client_moves_it(desk: Home) -> None:
    plan, _ = executed(desk)
    executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        desk.data("plan", "apply", plan, "--yes", "--wait")
        await reaches(seat, "apply", "applied")
        assert under_cursor(seat).name == plan
        await seat.until(lambda: not seat.offers("plan.apply"))
        assert seat.offers("plan.undo")

    sit(desk, play)


def test_a_plan_that_comes_to_need_somebody_is_told_and_counted(desk: Home) -> None:
    waiting, _ = executed(desk)
    gate = desk.gate()
    plan = desk.use(desk.action(gate.command), desk.repository(), code=None)

    async def play(seat: Seat) -> None:
        await go_to(seat, waiting)
        before = seat.app.pulse.needs_you
        gate.open()
        await seat.until(lambda: seat.app.pulse.needs_you == before + 1)
        await seat.sees("A plan needs you", plan)

    sit(desk, play)


def test_a_log_is_seen_in_ten_lines_and_may_have_the_whole_screen(desk: Home) -> None:
    """What is around it goes: rules and borders where there are few lines, the list by a key."""
    plan = desk.executed("echo to be seen", project=desk.repository())

    async def few(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("l")
        await seat.sees("to be seen")

    async def many(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("l")
        await seat.sees("to be seen", "NEEDS YOU")
        await seat.press("z")
        await seat.until(lambda: "NEEDS YOU" not in seat.text() and "to be seen" in seat.text())
        await seat.press("z")
        await seat.sees("NEEDS YOU")

    sit(desk, few, size=(40, 10))
    sit(desk, many)


def test_what_is_told_hides_neither_the_command_nor_the_keys(desk: Home) -> None:
    """Also where there is hardly any room."""
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("d")
        await seat.until(lambda: seat.app.echoed == f"ca plan diff {plan}")
        before = seat.text().splitlines()[-2:]
        assert f"ca plan diff {plan}" in before[0]
        seat.app.notify("told", markup=False)
        await seat.sees("told")
        assert seat.text().splitlines()[-2:] == before

    sit(desk, play, size=(80, 24))


def test_the_log_of_a_running_step_is_followed_in_its_colours(desk: Home) -> None:
    gate = desk.gate()
    command = f"printf 'first \\033[31mred\\033[0m\\n'; {gate.command}; echo last"
    plan = desk.use(desk.action(command), desk.repository(), code=None)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await reaches(seat, "execute", "processing")
        await seat.sees("s1  first red")  # under Steps: what it printed last
        await seat.press("l")
        await seat.sees("first red", "following")
        await seat.press("f")
        await seat.until(lambda: "following" not in seat.text())
        await seat.press("escape", "f")
        await seat.sees("following")  # from the list it always goes to the end
        gate.open()
        await seat.sees("last")
        await reaches(seat, "execute", "complete")

    sit(desk, play)


def test_children_fold_under_their_parent_and_are_chosen_like_plans(desk: Home) -> None:
    plan = desk.use(family(desk, "echo {item_} > {item_}.txt", ["one", "two", "three"]), desk.repository())

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.sees("3/3")
        await seat.press("space")
        await seat.until(lambda: "two" in board_text(seat))
        await seat.press("down", "down")
        await seat.until(lambda: under_cursor(seat).subplan is not None)
        assert under_cursor(seat).name.startswith(f"{plan}.")
        await seat.press("left")
        await is_on(seat, plan)
        await seat.press("left")
        await seat.until(lambda: "two" not in board_text(seat))

    sit(desk, play)


def board_text(seat: Seat) -> str:
    """The left side of the screen."""
    width = room(seat).board.region.right
    return "\n".join(line[:width] for line in seat.text().splitlines())


def test_the_filter_shows_what_fits_as_it_is_typed(desk: Home) -> None:
    name = desk.fresh("needle")
    plan = desk.use(desk.action("true", name=f"local/{name}"), desk.repository())
    other, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, other)
        await seat.press("slash", *name[:-1].upper())
        await seat.until(lambda: room(seat).board.count == 2)
        await seat.press("x", "x")
        await seat.sees("No plan has")
        assert "No plans yet" not in seat.text()
        await seat.press("backspace", "backspace")
        await seat.until(lambda: room(seat).board.count == 2)
        await seat.press("enter")
        assert under_cursor(seat).name == plan
        await seat.press("escape")
        await seat.until(lambda: room(seat).board.count > 2)
        assert not room(seat).query_one("#filter", Input).value

    sit(desk, play)


def test_each_plan_has_its_own_diff_also_when_it_has_none(desk: Home) -> None:
    changed, _ = executed(desk)
    unchanged = desk.use(desk.action("true"), desk.repository(), profile="manual")

    async def play(seat: Seat) -> None:
        await go_to(seat, changed)
        await seat.press("d")
        await seat.sees("+ new")
        await go_to(seat, unchanged)
        await seat.sees("No change yet")
        assert "+ new" not in seat.text()
        await seat.app.link.call(protocol.PlanCancel(plan=unchanged))
        await seat.sees("No change: it was over before")

    sit(desk, play)


def test_the_keyboard_is_in_the_tab_that_a_key_opens(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        for key, tab in (("d", "diff"), ("l", "log"), ("s", "steps"), ("t", "decisions"), ("v", "events")):
            await seat.press("escape", key)
            await seat.until(lambda tab=tab: seat.app.focused is not None and has(seat.app.focused, tab))

    sit(desk, play)


def has(widget: Widget, tab: str) -> bool:
    """Whether a widget is in a tab."""
    return any(node.id == tab for node in widget.ancestors)


def test_a_plan_that_is_opened_stays_in_view_wherever_it_moves(desk: Home) -> None:
    """On a narrow terminal the list is not seen meanwhile, and has no height."""
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("enter")
        await seat.sees("Strategize ✔")
        await seat.until(lambda: seat.offers("plan.apply"))
        await seat.press("a")
        await seat.sees("merges cleanly")
        await seat.press("a")
        await reaches(seat, "apply", "applied")
        await seat.sees(f"{plan} ─", "applied to the working tree")

    sit(desk, play, size=(80, 24))


def test_a_child_is_opened_from_the_steps_of_its_parent(desk: Home) -> None:
    """Its parent is unfolded in the list for it."""
    plan = desk.use(family(desk, "echo {item_}", ["one", "two"]), desk.repository())

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("s")
        await seat.sees("two")
        await seat.press("down", "down", "enter")
        await seat.until(lambda: under_cursor(seat).subplan is not None)
        await seat.press("l")
        await seat.sees("two")

    sit(desk, play)


def test_what_enter_does_in_the_palette_fits_what_was_typed_however_fast(desk: Home) -> None:
    async def play(seat: Seat) -> None:
        await seat.press("colon")
        await seat.until(lambda: isinstance(seat.app.screen, Palette))
        await seat.until(lambda: isinstance(seat.app.focused, Input))
        for event in (Paste("theme: gruvbox"), Key("enter", "\r")):
            seat.app.post_message(event)
        await seat.until(lambda: seat.app.theme == "gruvbox")

    sit(desk, play)


# --- the daemon comes and goes ----------------------------------------------------------------------------------------------


def test_a_daemon_that_is_killed_is_missed_and_the_next_one_misses_nothing(home: Home) -> None:
    """The banner says so; what happened meanwhile is there when it is back; nothing is offered that cannot be done."""
    plan = home.executed("echo new > new.txt")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
        await seat.until(lambda: seat.app.pulse.link.status is Status.GONE)
        await seat.sees("the daemon is not running", "ctrl+r starts it")
        assert room(seat).has_class("-stale")
        assert not seat.offers("plan.apply")
        home.data("plan", "apply", plan, "--yes", "--wait")
        await reaches(seat, "apply", "applied")
        assert not room(seat).has_class("-stale")
        home.data("daemon", "stop")
        await seat.until(lambda: seat.app.pulse.link.status is Status.GONE)
        await seat.press("ctrl+r")
        await seat.until(lambda: seat.app.pulse.link.status is Status.UP)

    sit(home, play)
    assert home.data("daemon", "status")["running"] is True


def test_what_was_seen_before_the_daemon_stopped_is_still_seen(desk: Home) -> None:
    plan, _ = executed(desk)
    gate = desk.gate()
    running = desk.use(desk.action(gate.command), desk.repository(), code=None)
    gate.wait()

    async def play(seat: Seat) -> None:
        await go_to(seat, running)
        await seat.sees(plan)
        await asyncio.to_thread(desk.run, "daemon", "stop")
        await seat.until(lambda: seat.app.pulse.link.status is Status.GONE)
        await seat.sees(plan, running)
        gate.open()
        desk.run("daemon", "start")
        await reaches(seat, "execute", "complete")

    sit(desk, play)


def test_a_dashboard_without_plans_teaches_how_to_get_one(home: Home) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("ca project add", "ca run -- CMD", "ca plan use ACTION PROJECT")

    sit(home, play, size=(80, 24))
    sit(home, play)


def test_a_dashboard_that_only_reads_offers_nothing_that_changes_anything(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("a", "X", "n", "r")
        assert isinstance(seat.app.screen, PlansRoom)
        assert not seat.offers("plan.apply")
        await seat.press("d")
        await seat.sees("new.txt")

    sit(desk, play, read_only=True)


def test_a_verb_that_fails_by_a_defect_says_so(desk: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected to fail is not silent, and the dashboard goes on."""
    plan, _ = executed(desk)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(ACTS, "plan.copy", broken)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("y")
        await seat.sees("ZeroDivisionError: by zero")
        await seat.press("d")
        await seat.sees("+ new")

    sit(desk, play)

    kept = desk.home / "state" / "logs" / "tui.log"
    assert "in broken" in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


# --- sizes ------------------------------------------------------------------------------------------------------------------


def test_on_a_narrow_terminal_enter_opens_the_plan_and_escape_goes_back(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        assert not room(seat).pane.region
        await seat.press("enter")
        await seat.sees("Strategize ✔")
        assert not room(seat).board.region
        await seat.press("escape")
        await seat.until(lambda: bool(room(seat).board.region))
        await seat.pilot.resize_terminal(120, 40)
        await seat.sees("NEEDS YOU", "Strategize ✔")

    sit(desk, play, size=(80, 24))


def test_on_a_broad_terminal_the_log_stands_beside_the_diff(desk: Home) -> None:
    plan, _ = executed(desk, "echo said; echo new > new.txt")

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("d")
        await seat.sees("+ new", "said")

    sit(desk, play, size=(200, 50))


def test_help_tells_the_keys_that_work_now(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("question_mark")
        await seat.until(lambda: isinstance(seat.app.screen, Text))
        said = "\n".join(str(one.render()) for one in seat.app.screen.query(Static))
        assert "Let the reviewed change into the project" in said
        assert "Take its change out of the project again" not in said

    sit(desk, play)


def test_the_palette_finds_verbs_plans_and_themes(desk: Home) -> None:
    plan, _ = executed(desk)
    other, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("colon", *"plan diff")
        await seat.sees("What it changed")
        await seat.press("escape")
        await seat.press("colon", *other)
        await seat.sees(f"plan: {other}")
        await seat.press("enter")
        await is_on(seat, other)
        await seat.press("colon", *"theme nord")
        await seat.sees("theme: nord")
        await seat.press("enter")
        await seat.until(lambda: seat.app.theme == "nord")

    sit(desk, play)


def test_only_verbs_about_the_plan_under_the_cursor_name_it_in_the_palette(desk: Home) -> None:
    plan, _ = executed(desk)

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("colon", *"plan: ")
        await seat.sees(f"{plan} · What it changed")
        await seat.press(*"prune")
        await seat.sees("Prune sandboxes  Remove what plans that are over keep")

    sit(desk, play)


def test_times_go_on_while_the_list_is_hidden(desk: Home) -> None:
    """On a narrow terminal the plan that runs has the screen for itself; no event comes while its step waits."""
    gate = desk.gate()
    plan = desk.use(desk.action(gate.command), desk.repository(), code=None)
    gate.wait()

    async def play(seat: Seat) -> None:
        await go_to(seat, plan)
        await seat.press("enter")
        await seat.until(lambda: room(seat).has_class("-opened"))
        seen: set[str] = set()
        await seat.until(lambda: seen.add(seat.text()) or len(seen) > 4)
        gate.open()
        await reaches(seat, "execute", "complete")

    sit(desk, play, size=(80, 24))


def test_only_a_prune_that_was_wanted_is_echoed_as_one(home: Home) -> None:
    plan, _ = executed(home)
    home.run("plan", "cancel", plan, "--yes")

    async def play(seat: Seat) -> None:
        await seat.press("colon")
        await seat.until(lambda: isinstance(seat.app.screen, Palette))
        await seat.press(*"prune", "enter")
        await seat.sees("Remove these?", plan)
        await seat.press("n")
        await seat.until(lambda: seat.app.screen is room(seat))
        assert seat.app.echoed == "ca plan prune --dry-run"
        await seat.press("colon")
        await seat.until(lambda: isinstance(seat.app.screen, Palette))
        await seat.press(*"prune", "enter")
        await seat.sees("Remove these?", plan)
        await seat.press("y")
        await seat.until(lambda: seat.app.echoed == "ca plan prune --yes")
        assert home.data("plan", "prune", "--dry-run")["entries"] == []

    sit(home, play)
