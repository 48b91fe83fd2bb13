"""The conflicts screen: versions side by side, and each conflict settled by a key, as `ca plan resolve` does it."""

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cleveragents_tui import verbs
from cleveragents_tui.dashboard.dialogs import Question
from cleveragents_tui.dashboard.screens.apply import ApplyDialog
from cleveragents_tui.dashboard.screens.conflicts import ConflictsScreen
from cleveragents_tui.dashboard.widgets import three_ways
from cleveragents_tui.dashboard.widgets.conflict_list import ConflictList
from cleveragents_tui.dashboard.widgets.versions import Versions
from tests.cli import colliding
from tests.cli.colliding import LINES
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home, put, unchanged

ROOT = Path(__file__).parents[2]
KINDS = {
    "one": "sed -i 's/line 5/line five ONE/; s|line 2|[b]two[/b]|' f; sed -i 1d gone; echo one > new; printf 'a\\0' > bin",
    "two": "sed -i 's/line 5/line 5 TWO/; /line 8/d' f; rm gone; printf 'two\\nlines' > new; printf 'b\\0b' > bin",
}
EDITED = {item: f"sed -i s/5/{item.upper()}/ *" for item in ("one", "two")}
EDITOR = f"""#!{sys.executable}
import os, signal, sys
from pathlib import Path
times = Path(__file__ + ".times")
before = times.read_text() if times.exists() else ""
times.write_text(before + "x")
if not before:
    os.kill(os.getpid(), signal.SIGKILL)
print(open(sys.argv[1]).read())
if before == "xx":
    open(sys.argv[1], "w").write("by hand\\n")
"""
"""Is killed the first time, looks at the file the second time, and writes it the third time."""
IN_A_TERMINAL = """
import os, sys
from cleveragents_tui.dashboard.app import Dashboard
from cleveragents_tui.dashboard.screens.conflicts import ConflictsScreen
from store import paths
app = Dashboard(paths.resolve(os.environ), os.environ)
app.call_later(lambda: app.push_screen(ConflictsScreen(sys.argv[1])))
app.run()
"""


@pytest.fixture(scope="module")
def waiting(shared: Home) -> str:
    """A plan with conflicts of several kinds that nobody settles."""
    return colliding.plan(shared, KINDS, shared.repository({"f": LINES, "gone": "a\nb\n", "bin": b"\0"}))


async def enter(seat: Seat, plan: str) -> None:
    """Open the conflicts of a plan, and wait until the first one is shown."""
    await seat.app.push_screen(ConflictsScreen(plan))
    await seat.until(lambda: bool(titles(seat)))


def titles(seat: Seat) -> str:
    """What the versions are said to be of."""
    return str(seat.app.screen.query_one(Versions).border_title or "")


async def choose(seat: Seat, path: str) -> None:
    """Put the cursor on a file, and wait until its versions are shown."""
    files = seat.app.screen.query_one(ConflictList)
    await seat.until(lambda: path in [one.path for one in files.conflicts])
    files.cursor = [one.path for one in files.conflicts].index(path)
    await seat.until(lambda: titles(seat).startswith(f"{path} "))
    await seat.pilot.pause()


def column(seat: Seat, index: int) -> list[str]:
    """What one of the three columns shows, from its heading down."""
    lines = seat.text().splitlines()
    start = next(number for number, line in enumerate(lines) if "│ parent  " in line or "│ project  " in line)
    return [line.split("│")[1 + index].rstrip() for line in lines[start:] if line.count("│") == 4]


def taken(home: Home, plan: str) -> dict[str, str | None]:
    """What was chosen for each file."""
    return {one["path"]: one["taken"] for one in home.data("plan", "conflicts", plan)["conflicts"]}


def test_three_versions_stand_side_by_side(shared: Home, waiting: str) -> None:
    """Lines that belong together in one row, differences marked by signs; what has no lines is said to be deleted or binary."""

    async def scene(seat: Seat) -> None:
        await enter(seat, waiting)
        await seat.sees(f"◆ {waiting}.2 (two) does not fit into {waiting}: 4 files, 4 open", "add/add", "delete/modify")
        await choose(seat, "f")
        parent, base, child = (column(seat, index) for index in range(3))
        assert parent[0].startswith(f" parent  file in {waiting}, ")
        assert parent[1:8] == [
            "  line 0", "  line 1", "~ [b]two[/b]", "  line 3", "  line 4", "~ line five ONE", "  line 6",
        ]  # fmt: skip
        assert base[1:11] == [f"{'!' if number == 5 else ' '} line {number}" for number in range(10)]
        assert child[6:11] == ["~ line 5 TWO", "  line 6", "  line 7", "−", "  line 9"]  # noqa: RUF001  the minus sign of the product

        await choose(seat, "gone")
        assert column(seat, 0)[1:3] == ["−", "  b"]  # noqa: RUF001  as above
        assert column(seat, 2)[0].startswith(f" child  deleted in {waiting}.2")
        assert column(seat, 2)[1:3] == ["−", "−"]  # noqa: RUF001  as above
        assert "not in the child" in seat.text()
        await choose(seat, "new")
        assert column(seat, 1)[0] == " base  absent"
        assert column(seat, 0)[1] == "+ one"
        assert column(seat, 2)[1:3] == ["+ two", "+ lines"]
        await choose(seat, "bin")
        assert column(seat, 1)[0] == " base  file, 1 B, binary"
        assert [seat.offers(f"conflict.{name}") for name in ("edit", "edited", "child")] == [False, True, True]

    sit(shared, scene, size=(160, 40))


def test_without_room_one_version_is_shown_at_a_time(shared: Home, waiting: str) -> None:
    """Tab goes from one to the next."""

    async def scene(seat: Seat) -> None:
        await enter(seat, waiting)
        await choose(seat, "f")
        await seat.sees("parent  (1 of 3, tab)", "~ line five ONE")
        await seat.press("enter", "tab", "tab")
        await seat.sees("child  (3 of 3, tab)", "~ line 5 TWO")
        assert "five" not in seat.text()
        await seat.press("shift+tab", "shift+tab", "shift+tab")
        await seat.sees("child  (3 of 3, tab)")

    sit(shared, scene, size=(80, 24))


def test_long_lines_of_versions_are_wrapped(shared: Home) -> None:
    """Each in its column, with its sign once; what belongs together still stands side by side."""
    edits = {item: f"sed -i 's/5/{'word ' * 20}{item}/' f" for item in ("one", "two")}
    plan = colliding.plan(shared, edits, shared.repository({"f": LINES}))

    async def scene(seat: Seat) -> None:
        await enter(seat, plan)
        await seat.press("w")
        await seat.until(lambda: any("one" in line for line in column(seat, 0)[1:]))
        parent, base, child = (column(seat, index)[1:] for index in range(3))
        assert "".join(line[2:].ljust(36) for line in parent[5:8]).split() == ["line", *["word"] * 20, "one"]
        assert [line[:1] for line in parent[5:9]] == ["~", " ", " ", " "]
        assert base[5:9] == ["! line 5", "", "", "  line 6"]
        assert parent[8] == child[8] == "  line 6"
        await seat.press("w")
        await seat.until(lambda: column(seat, 1)[7] == "  line 6")

    sit(shared, scene, size=(120, 40))


def test_a_dashboard_that_only_reads_settles_nothing(shared: Home, waiting: str) -> None:
    """The keys are not there."""

    async def scene(seat: Seat) -> None:
        await enter(seat, waiting)
        assert [verb.id for verb in verbs.of("conflict") if seat.offers(verb.id)] == []
        assert "only looks" in seat.text()
        await seat.press("p", "c", "t", "o")
        await seat.press("escape")
        await seat.until(lambda: not isinstance(seat.app.screen, ConflictsScreen))

    sit(shared, scene, read_only=True)
    assert set(taken(shared, waiting).values()) == {None}


def test_each_conflict_is_settled_by_a_key(shared: Home) -> None:
    """By a version, or by what was edited; the next one that is open follows, and at the end the plan goes on."""
    chosen = {"base": "b", "child": "c", "edited": "t", "parent": "p"}
    plan = colliding.plan(shared, EDITED, shared.repository(dict.fromkeys(chosen, LINES)))
    (directory,) = shared.data("plan", "conflicts", plan)["checkouts"].values()

    async def scene(seat: Seat) -> None:
        await enter(seat, plan)
        for number, (path, key) in enumerate(chosen.items(), 1):
            await seat.until(lambda path=path: titles(seat).startswith(f"{path} "))
            await seat.pilot.pause()
            if path == "edited":
                await refused(seat)
                put(Path(directory), {"edited": "by hand\n"})
            await seat.press(key)
            await seat.sees(f"4 files, {4 - number} open")
            assert seat.app.echoed == f"ca plan resolve {plan} {path} --take {path}"
        await seat.sees(f"Every conflict is settled. Go on (e): ca plan execute {plan}")
        await seat.press("colon", *"base")
        await seat.sees("conflict: Base's", "Take the version that both started from.")
        await seat.press("escape")

    async def refused(seat: Seat) -> None:
        """As long as a marker is left."""
        await seat.press("t")
        await seat.sees("markers")
        assert seat.app.echoed.endswith("--take child")

    sit(shared, scene)
    assert taken(shared, plan) == {path: path for path in chosen}
    shared.run("plan", "execute", plan, "--wait")
    place = shared.sandbox(plan)
    assert {path: (place / path).read_text() for path in chosen} == {
        "base": LINES, "child": LINES.replace("5", "TWO"), "edited": "by hand\n", "parent": LINES.replace("5", "ONE"),
    }  # fmt: skip


def test_a_choice_is_changed_and_a_file_edited_in_the_terminal(shared: Home) -> None:
    """What somebody else chose is seen, another key changes it; the editor gets the file with its markers.

    What it wrote is taken; when it cannot be started, is killed, or wrote nothing, nothing is, and that is said.
    """
    plan = colliding.plan(shared, EDITED, shared.repository({"f": LINES, "g": LINES}))

    async def scene(seat: Seat) -> None:
        await enter(seat, plan)
        shared.data("plan", "resolve", plan, "f", "--take", "parent")
        await seat.sees("2 files, 1 open")
        await choose(seat, "f")
        await seat.press("c")
        await seat.sees("child's")

    sit(shared, scene)
    assert taken(shared, plan) == {"f": "child", "g": None}

    script = shared.work / shared.fresh("editor")
    printed = _edited_in_a_terminal(shared, plan, script)
    assert b"<<<<<<< parent" in printed
    assert taken(shared, plan) == {"f": "child", "g": "edited"}


def _edited_in_a_terminal(home: Home, plan: str, editor: Path) -> bytes:
    """Edit the second file in conflict in a real terminal, until none is open; what was printed."""
    near, far = pty.openpty()
    printed = bytearray()

    def read() -> None:
        try:
            while piece := os.read(near, 65536):
                printed.extend(piece)
        except OSError:
            return  # the program has ended

    environ = {**home.environ, "TERM": "xterm-256color", "EDITOR": str(editor), "LINES": "40", "COLUMNS": "120"}
    command = [sys.executable, "-c", IN_A_TERMINAL, plan]
    process = subprocess.Popen(command, stdin=far, stdout=far, stderr=far, env=environ, cwd=ROOT)
    os.close(far)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        home.until(lambda: b"2 files, 1 open" in printed, seconds=40)
        home.until(lambda: b"child's" in printed, seconds=40)
        os.write(near, b"jo")
        home.until(lambda: b"no editor can be started here" in printed, seconds=40)
        editor.write_text(EDITOR)
        editor.chmod(0o755)
        for said in (b"was ended by SIGKILL", b"nothing was written"):
            os.write(near, b"o")
            home.until(lambda said=said: said in printed, seconds=40)
        assert taken(home, plan)["g"] is None
        os.write(near, b"o")
        home.until(lambda: None not in taken(home, plan).values(), seconds=40)
    finally:
        process.terminate()
        process.wait(40)
        reader.join()
        os.close(near)
    return bytes(printed)


def test_a_collision_with_the_project_is_left_to_the_user(shared: Home) -> None:
    """It is shown with the words for it; no key takes anything, but those that go on from there are at hand."""
    project = shared.repository({"f": LINES})
    check = f"test -s f && echo {'long ' * 20}"
    plan = shared.executed("sed -i s/5/PLAN/ f", project=project, checks=[{"run": check}])
    put(project, {"f": LINES.replace("5", "MINE")})
    shared.apply(plan, code=4)

    async def scene(seat: Seat) -> None:
        await enter(seat, plan)
        await seat.sees(
            f"◆ {plan} does not fit into {project.name}: 1 file, 1 open", f"ca plan revert {plan}", "project  file"
        )
        await seat.press("p", "c", "b", "t", "o")
        assert seat.app.echoed == ""
        assert [verb.id for verb in verbs.of("conflict") if seat.offers(verb.id)] == []
        await seat.press("a")
        await seat.until(lambda: isinstance(seat.app.screen, ApplyDialog))
        await seat.sees("1 file +1 −1", "✘ f (content)", f"  check 1  {check[:58]}…")  # noqa: RUF001  the minus sign of the product
        dialog = seat.app.screen
        await seat.press("b")
        await seat.sees("● branch", f"a new branch ca/{plan}, the checkout untouched", "✔ merges cleanly")
        await seat.press("m")
        await seat.sees("● working tree", "✘ collides")
        assert seat.app.screen is dialog
        await seat.press("escape")
        await seat.press("R")
        await seat.until(lambda: isinstance(seat.app.screen, Question))
        await seat.press("escape")

    with unchanged(project):
        sit(shared, scene)
    assert taken(shared, plan) == {"f": None}


@pytest.mark.parametrize(
    ("parent", "base", "child", "rows"),
    [
        ("abc", "abc", "abc", ["aaa", "bbb", "ccc"]),
        ("axc", "abc", "ac", ["aaa", "xb.", "ccc"]),
        ("abxyc", "abc", "abzc", ["aaa", "bbb", "x.z", "y..", "ccc"]),
        ("", "ab", "ab", [".aa", ".bb"]),
        (None, "ab", "ab", [".aa", ".bb"]),
        ("ab", None, "xb", ["a.x", "b.b"]),
        ("", "", "", []),
        ("ab", "", None, ["a..", "b.."]),
    ],
)
def test_versions_are_aligned_by_the_base(
    parent: str | None, base: str | None, child: str | None, rows: list[str]
) -> None:
    """What stands in one row belongs together; without a base the sides are compared with each other."""
    ways = three_ways.align(*(None if side is None else list(side) for side in (parent, base, child)))

    assert ["".join(text or "." for text in ways.texts(row)) for row in range(len(ways.rows))] == rows


def test_differences_are_found_and_collisions_told_from_them() -> None:
    """A run of lines that differ alike is one; a collision is where both sides differ, and not in the same way."""
    ways = three_ways.align(list("aXcdYf"), list("abcdef"), list("aXcdZf"))

    assert ways.differing == [1, 4]
    assert ways.colliding == {4}
    assert [ways.next_difference(0, 1), ways.next_difference(1, 1), ways.next_difference(4, 1)] == [1, 4, None]
    assert [ways.next_difference(5, -1), ways.next_difference(1, -1)] == [4, None]


def test_very_long_versions_are_matched_at_both_ends() -> None:
    """What is between the first and the last difference counts as one."""
    base = [str(number) for number in range(three_ways.MOST_LINES + 10)]
    ways = three_ways.align(["new", *base], base, [*base[:-1], "other"])

    assert ways.texts(0) == ("new", None, None)
    assert ways.texts(len(ways.rows) - 1) == (base[-1], base[-1], "other")
    assert len(ways.rows) == len(base) + 1
