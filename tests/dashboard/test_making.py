"""Making work from the dashboard: forms for actions, commands, projects and action files."""

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.events import Key

from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.screens.action_form import REPLACE
from cleveragents_tui.dashboard.screens.form import Form
from cleveragents_tui.dashboard.screens.prompt_form import PromptForm
from cleveragents_tui.dashboard.widgets.path_input import complete_anywhere, complete_inside
from daemon import protocol
from tests.dashboard.dashboards import Seat, sit
from tests.dashboard.forms import field, form, line, refused, type_into
from tests.homes import Home

ARGUMENTS = [
    {"name": "target", "type": "path", "required": True, "description": "where"},
    {"name": "depth", "type": "integer", "default": 3},
    {"name": "level", "type": "choice", "choices": ["low", "high"], "default": "low"},
    {"name": "name", "type": "string"},
]


@pytest.fixture(scope="module")
def desk() -> Iterator[Home]:
    """A home with one project, `web`, and two actions: `tidy` without arguments and `fix` with some of each type."""
    with Home() as made:
        made.repository({"src/api.py": "x = 1\n", "docs/.keep": "", "a.txt": "a\n"}, name="web")
        made.action("true", name="local/tidy", description="Make it [tidy]")
        made.action("echo {target} {depth} {level}", name="local/fix", description="Put it right", arguments=ARGUMENTS)
        yield made


async def use_form(seat: Seat, action: str) -> None:
    """Open the form for plans and take an action."""
    await seat.press("n")
    await seat.sees("New plan")
    await seat.press(*action, "enter")
    await seat.until(lambda: line(seat, "action").value == action)


def test_form_makes_the_plan_that_its_echo_makes(desk: Home) -> None:
    """What the form sent and what the echoed command asks for are the same plan but for its name."""

    async def play(seat: Seat) -> None:
        await use_form(seat, "fix")
        await seat.until(lambda: form(seat).field("arg target") is not None)
        await type_into(seat, "arg target", "src/a b")
        await type_into(seat, "arg depth", "7")
        await type_into(seat, "arg name", "a name")
        await type_into(seat, "priority", "2")
        await seat.press("ctrl+s")
        await seat.until(lambda: seat.app.echoed.startswith("ca plan use"))

        assert (
            seat.app.echoed
            == "ca plan use fix web --arg 'target=src/a b' --arg depth=7 --arg 'name=a name' --priority 2"
        )

    sit(desk, play)
    by_form = desk.data("plan", "list", "--limit", "1")["plans"][0]
    by_echo = desk.data(
        *shlex.split("plan use fix web --arg 'target=src/a b' --arg depth=7 --arg 'name=a name' --priority 2")
    )

    for key in ("action", "projects", "arguments", "priority", "automation_profile", "profile_source"):
        assert by_form[key] == by_echo[key], key
    assert by_form["arguments"] == {"target": "src/a b", "depth": 7, "level": "low", "name": "a name"}


def test_arguments_are_checked_while_one_types_in_the_daemons_words(desk: Home) -> None:
    """A wrong value is refused beside its field with the words of `ca plan use`; a path completes; nothing is made."""

    async def play(seat: Seat) -> None:
        await use_form(seat, "fix")
        await seat.until(lambda: form(seat).field("arg depth") is not None)
        await type_into(seat, "arg depth", "many")
        await type_into(seat, "arg target", "/etc")
        await seat.until(lambda: refused(seat).keys() == {"arg depth", "arg target"})

        said = desk.error("plan", "use", "fix", "web", "--arg", "target=a", "--arg", "depth=many", code=2)["message"]
        assert refused(seat)["arg depth"].removeprefix("✘ ") in said
        await type_into(seat, "arg target", "")
        await seat.press("ctrl+s")
        await seat.until(lambda: refused(seat).get("arg target") == "✘ is required")
        assert line(seat, "arg depth").value == "many"

        await type_into(seat, "arg target", "src/a")
        await seat.sees("src/api.py")
        await seat.press("right")
        assert line(seat, "arg target").value == "src/api.py"

    before = desk.data("plan", "list")["total"]
    sit(desk, play)

    assert desk.data("plan", "list")["total"] == before


def test_what_was_typed_for_an_action_stays(desk: Home) -> None:
    """Who looks at another action and comes back finds the arguments as they were; keys may come in bursts."""

    async def play(seat: Seat) -> None:
        await use_form(seat, "fix")
        await type_into(seat, "arg target", "src/a b")
        found = line(seat, "action")
        found.focus()
        await seat.press("home", *["delete"] * 3)
        for key in "tidy":
            seat.app.post_message(Key(key, key))
        await seat.until(lambda: found.value == "tidy" and form(seat).field("arg target") is None)
        for key in ["home", *["delete"] * 4, *"fix"]:
            seat.app.post_message(Key(key, key if len(key) == 1 else None))
        await seat.until(lambda: form(seat).field("arg target") is not None)
        assert line(seat, "arg target").value == "src/a b"
        await type_into(seat, "arg target", "")
        await seat.press("ctrl+s")
        await seat.until(lambda: refused(seat) == {"arg target": "✘ is required"})

    before = desk.data("plan", "list")["total"]
    sit(desk, play)

    assert desk.data("plan", "list")["total"] == before


def test_tab_completes_a_path_that_was_begun(desk: Home) -> None:
    """Tab takes what is suggested, and goes on when nothing is; a path that was there already stays as it is."""
    (desk.work / "web-old").mkdir()

    async def play(seat: Seat) -> None:
        await seat.press("plus")
        await seat.sees("Register a project")
        await type_into(seat, "path", f"{desk.work}/we")
        await seat.sees(f"{desk.work.name}/web")
        await seat.press("tab")
        await seat.until(lambda: line(seat, "path").value == f"{desk.work}/web-old/")
        assert line(seat, "path").has_focus
        await seat.press("tab")
        await seat.until(lambda: line(seat, "name").has_focus)
        await seat.press("shift+tab", "tab")
        await seat.until(lambda: line(seat, "name").has_focus)
        assert line(seat, "path").value == f"{desk.work}/web-old/"

    sit(desk, play, size=(160, 40))


def test_action_is_found_and_a_refused_name_is_told_beside_it(desk: Home) -> None:
    """Words of the description find the action; what only the daemon knows stands beside the field it is about."""
    taken = desk.use("tidy", desk.work / "web", profile="manual")

    async def play(seat: Seat) -> None:
        await seat.press("n")
        await seat.sees("tidy  Make it [tidy]", "fix  Put it right")
        await seat.press(*"zz", "enter")
        await seat.until(lambda: refused(seat).get("action") == "✘ there is no action 'zz'")
        assert "Make it" not in seat.text()
        await type_into(seat, "action", "make")
        await seat.sees("tidy  Make it [tidy]")
        await seat.press("enter")
        await type_into(seat, "name", taken)
        await seat.press("ctrl+s")
        await seat.until(lambda: "name" in refused(seat))

        assert f"a plan is named '{taken}' already" in refused(seat)["name"]
        assert line(seat, "name").value == taken
        await type_into(seat, "name", "Not A Name")
        assert "upper case" in refused(seat)["name"]
        await seat.press("escape")
        await seat.until(lambda: not isinstance(seat.app.screen, Form))

    sit(desk, play)


def test_nothing_typed_is_lost_when_the_daemon_is_gone(home: Home) -> None:
    """The form stays with the reason, and can be sent when the daemon is back."""
    home.repository(name="web")

    async def play(seat: Seat) -> None:
        await seat.press("r")
        await seat.sees("Run a command")
        await type_into(seat, "command", "echo hello")
        await asyncio.to_thread(home.run, "daemon", "stop")
        await seat.until(lambda: seat.app.link.state.status is Status.GONE)
        await seat.press("ctrl+s")
        await seat.sees("✘", "ca daemon start")
        assert line(seat, "command").value == "echo hello"

        await asyncio.to_thread(home.run, "daemon", "start")
        await seat.until(lambda: seat.app.link.state.status is Status.UP)
        await seat.press("ctrl+s")
        await seat.until(lambda: seat.app.echoed == "ca run --project web -- 'echo hello'")

    sit(home, play)


def test_completion_never_leaves_its_root(tmp_path: Path) -> None:
    """Neither a link nor `..` nor an absolute path leads out; hidden names have to be begun."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "src").mkdir(parents=True)
    (root / ".git").mkdir()
    outside.mkdir()
    (outside / "secret").touch()
    (root / "out").symlink_to(outside)

    assert complete_inside("s", root) == "src/"
    assert complete_inside(".g", root) == ".git/"
    assert complete_inside("", root / ".git") is None
    assert [complete_inside(text, root) for text in ("out/se", "../outside/se", f"{outside}/se", "~/")] == [None] * 4
    assert complete_anywhere(f"{tmp_path}/ou", directories=True) == f"{outside}/"
    assert complete_anywhere(f"{outside}/se", directories=True) is None


def test_run_gets_the_surroundings_but_no_secret(desk: Home) -> None:
    """The command has the dashboard's environment without our token, and the echo makes the same step."""
    desk.environ |= {"GREETING": "hello you", "CLEVERAGENTS_SERVER_TOKEN": "sekret"}

    async def play(seat: Seat) -> None:
        await seat.press("r")
        await seat.sees("Run a command")
        await type_into(seat, "command", 'echo "$GREETING"; printenv CLEVERAGENTS_SERVER_TOKEN || true')
        await type_into(seat, "name", "greet")
        await seat.press("ctrl+s")
        await seat.until(lambda: seat.app.echoed.startswith("ca run"))
        command = shlex.split(seat.app.echoed)
        assert command[:7] == ["ca", "run", "--project", "web", "--name", "greet", "--"]
        assert command[7:] == ['echo "$GREETING"; printenv CLEVERAGENTS_SERVER_TOKEN || true']

    sit(desk, play)
    desk.run("plan", "wait", "greet")

    assert desk.log("greet", "run").split() == ["hello", "you"]


def test_first_project_and_action_are_offered(home: Home) -> None:
    """Without any action `n` shows how to get one, which is replaced only when asked; without a project `r` adds one."""
    root = home.work / "site"
    root.mkdir()
    file = home.write_action(name="first", steps=[{"id": "s1", "run": "true"}])

    async def play(seat: Seat) -> None:
        await seat.press("n")
        await seat.sees("No actions yet")
        await seat.press("a")
        await seat.sees("Register an action")
        await type_into(seat, "file", str(file))
        await seat.press("ctrl+s")
        await seat.until(lambda: seat.app.echoed == f"ca action create {file}")

        file.write_text(file.read_text().replace("true", "false"))
        seat.app.action_verb("make.action")
        await seat.sees("Register an action")
        await type_into(seat, "file", str(file))
        await seat.press("ctrl+s")
        await seat.until(lambda: "is registered already" in refused(seat).get("update", ""))
        await seat.press("enter", "down", "enter")
        await seat.until(lambda: field(seat, "update").text == REPLACE)
        await seat.press("ctrl+s")
        await seat.until(lambda: seat.app.echoed == f"ca action create {file} --update")

        await seat.press("r")
        await seat.sees("There is no project yet")
        await type_into(seat, "path", str(home.work / "nowhere"))
        await seat.press("ctrl+s")
        await seat.until(lambda: "path" in refused(seat))
        await type_into(seat, "path", str(root))
        await seat.press("ctrl+s")
        await seat.sees("Run a command")
        assert seat.app.echoed == f"ca project add {root}"
        assert field(seat, "project").text == "site"

    sit(home, play)

    found = [(action["name"], action["revision"]) for action in home.data("action", "list")["actions"]]
    assert found == [("local/first", 2)]
    assert [project["path"] for project in home.data("project", "list")["projects"]] == [str(root)]


def test_longest_form_and_its_preview_fit_a_small_terminal(desk: Home) -> None:
    """At 80x24 the fields scroll to the one with the cursor, the buttons stay, and ctrl+p shows the steps over it."""

    async def play(seat: Seat) -> None:
        await use_form(seat, "fix")
        await seat.until(lambda: form(seat).field("arg name") is not None)
        await seat.sees("action *", "fix", "Start")
        line(seat, "priority").focus()
        await seat.sees("priority", "higher runs earlier", "Start", "Preview", "Cancel")
        await seat.press("tab")
        assert seat.app.screen.focused is not None
        assert seat.app.screen.focused.id == "send"

        await type_into(seat, "arg target", "src")
        await seat.press("ctrl+p")
        await seat.sees("fix would make a plan; nothing was stored", "echo src 3 low")
        await seat.press("escape")
        await seat.until(lambda: isinstance(seat.app.screen, Form))
        assert line(seat, "arg target").value == "src"

    before = desk.data("plan", "list")["total"]
    sit(desk, play, size=(80, 24))

    assert desk.data("plan", "list")["total"] == before


def test_advice_is_typed_below_what_went_wrong(desk: Home) -> None:
    """Below the last lines of the step there is room for the text; what the daemon refuses stays, and is told."""
    failed, waiting = desk.executed("exit 1", code=1), desk.use("tidy", desk.work / "web", profile="manual")
    got: list[str | None] = []

    async def show(seat: Seat, plan: str) -> None:
        view = await seat.app.link.call(protocol.PlanShow(plan=plan))
        await seat.app.push_screen(PromptForm(view, ["E  [bold]expected 3", "exit 1"]), got.append)
        await seat.sees(f"Advice for {plan}", "E  [bold]expected 3", "exit 1")

    async def play(seat: Seat) -> None:
        await show(seat, failed)
        await seat.press("ctrl+s")
        await seat.until(lambda: refused(seat) == {"advice": "✘ is required"})
        low = seat.app.screen.query_one(".form").region.height
        await seat.press(*"try", "space", "B", *["enter"] * 6, "C")
        await seat.until(lambda: seat.app.screen.query_one(".form").region.height > low)
        await seat.press("ctrl+s")
        await seat.until(lambda: got)

        await show(seat, waiting)
        await seat.press("x", "ctrl+s")
        await seat.sees("✘", "ca plan execute")
        assert field(seat, "advice").text == "x"
        await seat.press("escape")
        await seat.until(lambda: len(got) == 2)

    sit(desk, play)

    assert got == ["try B\n\n\n\n\n\nC", None]
    assert desk.data("plan", "tree", failed)["decisions"][-1]["choice"] == got[0]
