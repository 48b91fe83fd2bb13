"""The diff view: every change is told as git has it, read from any place, and still there when it is made anew."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color
from textual.pilot import Pilot
from textual.widgets import Label

from cleveragents_tui.dashboard import themes
from cleveragents_tui.dashboard.widgets import patches, words
from cleveragents_tui.dashboard.widgets.diff_view import NO_CHANGES, NOTHING_YET, DiffView
from cleveragents_tui.dashboard.widgets.folds import of_patch, pieces
from cleveragents_tui.dashboard.widgets.patches import Kind, Patch
from daemon import changes, show, snapshots, views
from tests.daemon import gitrepos
from tests.daemon.gitrepos import BASE, Content
from tests.waiting import wait_until_async

LINES = [f"line {number} of a file that somebody wrote" for number in range(60)]
TEXT = "".join(f"{line}\n" for line in LINES)
OLD: dict[str | bytes, Content] = {
    "a.py": f"def get(self, key):\n{TEXT}end",
    "bin": b"\0a",
    "gone": "x\ny\n",
    "old name": TEXT,
    "run.sh": "#!/bin/sh\n",
    "turned": "a file\n",
    "was empty": "",
}
NEW: dict[str | bytes, Content] = {
    "a.py": f"def get(self, key: str) -> Item:\n{TEXT}".replace("line 30", "line thirty").replace(
        "line 50", "\tline 50"
    )
    + "END",
    "bin": b"\0abc",
    "gone": None,
    "old name": None,
    "was empty": None,
    b"new\nn\xc3\xa4me": TEXT.replace("line 7 ", "line seven "),
    "[b]marked[/b]": "[red]not markup[/red] \x1b[31mred\u202e\r\n",
    "wide": "x" * 300 + "END\n",
}
THEMES = (
    *(theme.name for theme in themes.OURS), "textual-light", "nord", "solarized-light", "solarized-dark", "atom-one-dark",
    "catppuccin-latte", "tokyo-night",
)  # fmt: skip
"""Ours, and those of Textual's with the least contrast, light and dark."""
FILES = ["[b]marked[/b]", "a.py", "bin", "gone", "new\nnäme", "run.sh", "turned", "was empty", "wide"]


class Page(App[None]):
    """Nothing but a diff view."""

    def compose(self) -> ComposeResult:
        yield DiffView()

    def on_mount(self) -> None:
        for theme in themes.OURS:
            self.register_theme(theme)

    @property
    def view(self) -> DiffView:
        return self.query_one(DiffView)


Scene = Callable[[Page, "Pilot[None]"], Awaitable[None]]


def sit(scene: Scene, diff: views.PlanDiffView | None = None, *, size: tuple[int, int] = (120, 30)) -> None:
    """Play a scene in front of a diff, with the focus on its lines."""

    async def play() -> None:
        app = Page()
        async with app.run_test(size=size) as pilot:
            if diff is not None:
                await shown(app, diff)
                app.view.lines.focus()
                await pilot.pause()
            await scene(app, pilot)

    asyncio.run(play())


async def shown(app: Page, diff: views.PlanDiffView) -> None:
    """Show a change and wait until it was read."""
    before = app.view.lines.patch
    app.view.show(diff)
    await wait_until_async(lambda: app.view.lines.patch is not before)


def screen(app: Page) -> list[str]:
    """What is on the screen, line by line."""
    strips = app.screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]  what is painted, without its colours
    return ["".join(segment.text for segment in strip) for strip in strips]


def top(app: Page) -> str:
    """The name of the file in the first line of the patch, and the row one is at."""
    lines = app.view.lines
    return f"{lines.patch.sections[lines.section].file.path}: {lines.patch.texts[lines.place]}"


def made(where: Path, old: Mapping[str | bytes, Content], new: Mapping[str | bytes, Content]) -> views.PlanDiffView:
    """The change between two states of a repository, as the daemon tells it."""
    project = gitrepos.repository(where, old)
    base = snapshots.take(project, BASE).commit
    gitrepos.put(project.path, new)
    if "run.sh" in old:
        (project.path / "run.sh").chmod(0o755)
    if "turned" in old:
        (project.path / "turned").unlink()
        (project.path / "turned").symlink_to("a.py")
    if "was empty" in old:
        (project.path / "was empty").touch()
    result = snapshots.take(project, BASE).commit
    files = [show.file(file, "") for file in changes.diff(project, base, result).files]
    text, encoded = show.text(changes.patch(project, base, result))
    return views.PlanDiffView("plan", f"{base}{result}", {}, files, text, encoded)


@pytest.fixture(scope="module")
def diff(tmp_path_factory: pytest.TempPathFactory) -> Iterator[views.PlanDiffView]:
    """A change of every kind."""
    where = tmp_path_factory.mktemp("diff")
    with pytest.MonkeyPatch.context() as patch:
        gitrepos.isolate(patch, where / "home")
        yield made(where, OLD, NEW)


@pytest.fixture(scope="module")
def patch(diff: views.PlanDiffView) -> Patch:
    return patches.read(diff)


def changed(name: str, lines: int) -> views.FileView:
    return views.FileView(
        path=name, path_base64=None, old_path=None, old_path_base64=None,
        status="modified", binary=False, insertions=lines, deletions=lines,
    )  # fmt: skip


def many(*names: str, lines: int = 5, plan: str = "many", digest: str = "d") -> views.PlanDiffView:
    """A change of several files with two hunks each, of `lines` changed lines each."""

    def hunk(start: int) -> str:
        minus, plus = (
            "".join(f"{sign}{word} {number}\n" for number in range(lines))
            for sign, word in (("-", "old"), ("+", "new"))
        )
        return f"@@ -{start},{lines + 1} +{start},{lines + 1} @@ def f{start}():\n kept\n{minus}{plus}"

    files = [changed(name, 2 * lines) for name in names]
    texts = [f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n{hunk(1)}{hunk(90)}" for name in names]
    return views.PlanDiffView(plan, digest, {}, files, "".join(texts), None)


def test_every_kind_of_change_is_told(diff: views.PlanDiffView, patch: Patch) -> None:
    """Names are whole, however git quotes them; a file that became a link is one file; modes and sizes are said."""
    told = {
        section.file.path: [
            patch.texts[row] for row in range(section.row, section.end) if patch.kinds[row] in {Kind.FILE, Kind.NOTE}
        ]
        for section in patch.sections
    }

    assert told == {
        "[b]marked[/b]": ["[b]marked[/b]"],
        "a.py": ["a.py"],
        "bin": ["bin", "binary: 2 bytes → 4 bytes"],
        "gone": ["gone"],
        "new\nnäme": ["old name → new\nnäme", "renamed, 98% the same"],
        "run.sh": ["run.sh", "file becomes executable"],
        "turned": ["turned", "new symlink"],
        "wide": ["wide"],
    }
    assert [section.file for section in patch.sections] == diff.files
    assert len(patch.kinds) == len(patch)


def test_each_line_has_its_numbers_before_and_after(patch: Patch) -> None:
    """The line of that number in the old and the new file is the line that is shown."""
    old, new = (str(files["a.py"]).split("\n") for files in (OLD, NEW))
    section = patch.sections[FILES.index("a.py")]
    checked = 0

    for row in range(section.row, section.end):
        if patch.kinds[row] in {Kind.CONTEXT, Kind.ADDED, Kind.REMOVED}:
            before, after = patch.numbers(row)
            assert before is None or old[before - 1] == patch.texts[row][1:]
            assert after is None or new[after - 1] == patch.texts[row][1:]
            assert (before is None, after is None) == (patch.kinds[row] == Kind.ADDED, patch.kinds[row] == Kind.REMOVED)
            checked += 1
    assert checked > 20
    assert patch.digits == 2


def test_changed_lines_are_paired_in_order(patch: Patch) -> None:
    """A removed line with the added one that came for it, also across git's remark on the last newline."""
    pairs = {
        patch.texts[row]: patch.texts[other]
        for row, kind in enumerate(patch.kinds)
        if kind == Kind.REMOVED and (other := patch.pair(row)) is not None
    }

    assert pairs["-def get(self, key):"] == "+def get(self, key: str) -> Item:"
    assert pairs[f"-{LINES[30]}"] == f"+{LINES[30].replace('30', 'thirty')}"
    assert pairs["-end"] == "+END"
    assert "-x" not in pairs
    both = {row: patch.pair(row) for row in range(len(patch))}
    assert all(both[other] == row for row, other in both.items() if other is not None)


def test_lines_without_a_partner_are_alone() -> None:
    """Of three lines that became one, the first is its partner; a line of context has none."""
    text = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1,4 +1,2 @@\n k\n-a\n-b\n-c\n+d\n"
    found = patches.read(views.PlanDiffView("p", "d", {}, [], text, None))

    assert [found.pair(row) for row in range(len(found))] == [None, None, None, 6, None, None, 3]
    assert found.sections[0].file.path == "a/f b/f"


@pytest.mark.parametrize(
    ("line", "drawn"),
    [
        ("plain", "plain"),
        ("a\tb", "a   b"),
        ("日本\u3000語 ä 👍", "日本\u3000語 ä 👍"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("end\r", "end^M"),
        ("a\u202eb\ud800\udcff", "a\\u202eb\\ud800\\xff"),
        ("\U000e0041", "\\U000e0041"),
        ("x" * 20_000, "x" * patches.LONGEST + "…"),
    ],
)
def test_nothing_hides_in_a_line(line: str, drawn: str) -> None:
    """What has no picture is written out, so that what is reviewed is what is there; endless lines are cut."""
    assert patches.shown(line) == drawn


@pytest.mark.parametrize(
    ("old", "new", "gone", "came"),
    [
        ("def get(self, key):", "def get(self, key: str) -> Item:", [], [": str", " -> Item"]),
        ("one two three four five", "one 2 3 four five", ["two three"], ["2 3"]),
        ("  foo", "    foo", ["  "], ["    "]),
        ("return a+b", "while True: pass", [], []),
        ("same", "same", [], []),
        ("x = 1 " * 400, "x = 2 " * 400, [], []),
        (f"begin{' 1' * 300} end of it all", f"begin{' 2' * 300} end of it all", [], []),
        (
            f"{'same words ' * 80}{'1 ' * 150}",
            f"{'same words ' * 80}{'2 ' * 150}",
            ["1 " * 149 + "1"],
            ["2 " * 149 + "2"],
        ),
    ],
)
def test_words_that_differ_are_found(old: str, new: str, gone: list[str], came: list[str]) -> None:
    """Within lines that have something in common; very long ones are left alone, long ones marked as a whole."""
    before, after = words.differing(old, new)

    assert [old[start:end] for start, end in before] == gone
    assert [new[start:end] for start, end in after] == came


def test_files_stand_beside_their_lines(diff: views.PlanDiffView) -> None:
    """With room the list is on the left; names and lines are drawn as they are, never as markup."""

    async def scene(app: Page, _pilot: "Pilot[None]") -> None:
        page = screen(app)
        text = "\n".join(page)
        assert f" file 1 of {len(FILES) - 1} " in page[0]
        assert page[1].startswith("│ A [b]marked[/b]")
        assert " A [b]marked[/b]   +1 −0" in page[1]  # noqa: RUF001  the minus sign of the product
        assert "1 + [red]not markup[/red] \\x1b[31mred\\u202e^M" in text
        assert "+ def get(self, key: str) -> Item:" in text
        assert "D gone" in text
        assert "new\\x0anäme" in text

    sit(scene, diff)


def test_without_room_the_list_is_opened_by_a_key(diff: views.PlanDiffView) -> None:
    """Enter in it goes to the file and closes it; the name of the file is always in the first line."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        assert not app.view.files.display
        assert screen(app)[1].startswith("│ A [b]marked[/b]")
        await pilot.press("F", "j", "j", "j")
        assert app.view.files.display
        assert app.view.files.region.y < app.view.lines.region.y
        await pilot.press("enter")
        await pilot.pause()
        assert not app.view.files.display
        assert app.focused is app.view.lines
        assert top(app) == "gone: gone"
        await pilot.press("j")
        await pilot.pause()
        assert screen(app)[1].startswith("│ D gone")
        await pilot.resize_terminal(120, 24)
        await pilot.pause()
        assert app.view.files.display

    sit(scene, diff, size=(80, 24))


def test_hunks_and_files_are_jumped_to() -> None:
    """To the last ones too, although they cannot come to the top; the list goes along."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        async def at(*keys: str) -> str:
            await pilot.press(*keys)
            await pilot.pause()
            return top(app)

        assert await at("n") == "one: @@ -1,6 +1,6 @@ def f1():"
        assert "▸ @@ -1,6 +1,6 @@ def f1():" in "\n".join(screen(app))
        assert await at("n") == "one: @@ -90,6 +90,6 @@ def f90():"
        assert await at("n") == "two: @@ -1,6 +1,6 @@ def f1():"
        assert app.view.files.cursor == 1
        assert await at("N") == "one: @@ -90,6 +90,6 @@ def f90():"
        assert await at("right_square_bracket", "right_square_bracket") == "three: three"
        assert app.view.files.cursor == 2
        assert await at("n", "n", "n", "n") == "three: @@ -90,6 +90,6 @@ def f90():"
        assert await at("left_square_bracket", "left_square_bracket") == "two: two"
        assert await at("g", "N", "left_square_bracket") == "one: one"

    sit(scene, many("one", "two", "three"), size=(120, 40))


def test_the_list_moves_the_lines_and_the_lines_the_list() -> None:
    """Whichever moves, both show the same file."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        app.view.files.focus()
        await pilot.press("j", "j")
        await pilot.pause()
        assert top(app) == "f2: f2"
        app.view.lines.focus()
        await pilot.press("k", "k")
        await pilot.pause()
        assert app.view.files.cursor == 1
        await pilot.press("G")
        await pilot.pause()
        assert app.view.files.cursor == len(app.view.files.files) - 1 or app.view.lines.place > 0
        assert app.view.files.cursor == app.view.lines.section > 5
        await pilot.press("pageup")
        await pilot.pause()
        assert app.view.files.cursor == app.view.lines.section
        await pilot.press("home")
        await pilot.pause()
        assert (app.view.files.cursor, top(app)) == (0, "f0: f0")

    sit(scene, many(*(f"f{number}" for number in range(9))))


def test_a_page_down_leaves_out_no_line() -> None:
    """The first line of the next page is the one after the last, below the name of the file."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        last = screen(app)[-2]
        await pilot.press("pagedown")
        await pilot.pause()
        page = screen(app)
        assert "new 13" in last
        assert " M long" in page[1]
        assert "new 14" in page[2]

    sit(scene, many("long", lines=100), size=(80, 119))


def test_long_lines_are_read_to_their_end(diff: views.PlanDiffView) -> None:
    """To the side, while numbers and signs stay."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        app.view.lines.jump(app.view.lines.patch.sections[-1].row)
        await pilot.press("l")
        assert app.view.lines.scroll_offset.x > 0
        app.view.lines.scroll_to(x=app.view.lines.max_scroll_x, animate=False)
        await pilot.pause()
        assert any(" 1 + xxx" in line and "xxxEND" in line for line in screen(app))
        await pilot.press("left")
        await pilot.pause()
        assert "END" not in "\n".join(screen(app))

    sit(scene, diff)


def test_long_lines_are_wrapped(diff: views.PlanDiffView) -> None:
    """Every column of them is seen, numbers and signs stand once; the place stays, and what is found comes into view."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        lines = app.view.lines
        lines.jump(lines.patch.sections[-1].row)
        await pilot.press("w")
        await wait_until_async(lambda: lines.virtual_size.height > len(lines.patch))
        await pilot.pause()
        drawn = [line.split("│")[-2] for line in screen(app) if "xxx" in line]
        assert "".join(line[line.index("x") :].rstrip() for line in drawn) == "x" * 300 + "END"
        assert [line for line in drawn if " 1 + x" in line] == drawn[:1]
        assert lines.patch.sections[lines.section].file.path == "wide"
        await pilot.press("g", "slash", *"xEND", "enter")
        await wait_until_async(lambda: found(app, "xEND") != [])
        await pilot.press("escape", "w")
        await wait_until_async(lambda: lines.virtual_size.height == len(lines.patch))

    sit(scene, diff)


@pytest.mark.parametrize("text", ["", "x" * 50, "a\tb" * 9, "日本語 wide" * 7, "ä" * 41, "x" * 99_999, "é日" * 8000])
def test_a_line_is_folded_without_loss(text: str) -> None:
    """Whatever is in it; each line of the screen is of one row, and each row is found again."""
    lines = ["+", f"+{text}", "+end", f"+{text}", "+"]
    patch = Patch(["f", "@@", *lines], bytearray([Kind.FILE, Kind.HUNK, *[Kind.ADDED] * len(lines)]))
    folds = of_patch(patch, 40)
    drawn = pieces(patches.shown(text), 40)

    assert "".join(drawn) == patches.shown(text)
    assert max(cell_len(piece) for piece in drawn) <= 40
    assert folds.count == len(patch) + 2 * (len(drawn) - 1)
    rows = [folds.at(line) for line in range(folds.count)]
    assert rows == [(row, part) for row in range(len(patch)) for part in range(len(drawn) if row in {3, 5} else 1)]
    assert [folds.line_of(row) for row in range(len(patch))] == [rows.index((row, 0)) for row in range(len(patch))]


def test_words_that_differ_are_bold(diff: views.PlanDiffView) -> None:
    """In the line that came, and the sign says that it came."""

    async def scene(app: Page, _pilot: "Pilot[None]") -> None:
        row = app.view.lines.patch.texts.index("+def get(self, key: str) -> Item:")
        strip = app.view.lines.render_line(row - app.view.lines.scroll_offset.y)
        bold = [segment.text for segment in strip if segment.style is not None and segment.style.bold]
        assert bold == [": str", " -> Item"]
        assert "+ def" in strip.text

    sit(scene, diff)


def test_without_colours_words_are_underlined(diff: views.PlanDiffView, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that blanks that differ are seen too; lines have their signs as ever."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def scene(app: Page, _pilot: "Pilot[None]") -> None:
        row = app.view.lines.patch.texts.index("+def get(self, key: str) -> Item:")
        strip = app.view.lines.render_line(row - app.view.lines.scroll_offset.y)
        underlined = [segment.text for segment in strip if segment.style is not None and segment.style.underline]
        assert app.no_color
        assert underlined == [": str", " -> Item"]

    sit(scene, diff)


def test_a_very_long_change_is_read_at_any_place() -> None:
    """The end is at hand as soon as it was read; the numbers are right there."""
    names = [f"file{number}" for number in range(1000)]

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        await pilot.press("G")
        await pilot.pause()
        assert "   109 + new 18" in screen(app)[-3]
        assert "M file999" in screen(app)[1]
        assert app.view.files.cursor == 999
        await pilot.press("left_square_bracket", "left_square_bracket", "left_square_bracket")
        await pilot.pause()
        assert top(app) == "file997: file997"

    sit(scene, many(*names, lines=20))


def test_search_goes_from_find_to_find() -> None:
    """As in a log: counted while one types, then n and N, round the end; another plan is not searched."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        def told() -> str:
            return str(app.view.query_one("#told", Label).content)

        async def asked(key: str) -> tuple[str, str]:
            """Where one is after a key that goes to another find, and what is said of it."""
            before = app.view.lines.place
            await pilot.press(key)
            await wait_until_async(lambda: app.view.lines.place != before)
            await pilot.pause()
            return top(app), told()

        await pilot.press("slash", *"EW", "space", "4")
        await wait_until_async(lambda: told() == "not found")
        await pilot.press("ctrl+u", *"ew", "space", "4")
        await wait_until_async(lambda: told() == "4 lines")
        assert len(found(app, "ew 4")) > 1
        assert await asked("enter") == ("one: +new 4", "1 of 4")
        assert app.focused is app.view.lines
        assert await asked("n") == ("one: +new 4", "2 of 4")
        assert await asked("n") == ("two: +new 4", "3 of 4")
        assert await asked("N") == ("one: +new 4", "2 of 4")
        assert await asked("N") == ("one: +new 4", "1 of 4")
        assert await asked("N") == ("two: +new 4", "4 of 4")
        await shown(app, many("one", "two", "three", digest="later"))
        await wait_until_async(lambda: told() == "6 lines")
        await pilot.press("escape")
        await pilot.pause()
        assert found(app, "ew 4") == []
        await pilot.press("g", "n")
        assert top(app) == "one: @@ -1,6 +1,6 @@ def f1():"

        await pilot.press("slash")
        await wait_until_async(lambda: told() == "6 lines")
        await shown(app, many("one", plan="another"))
        await wait_until_async(lambda: "search" not in screen(app)[-2] and "ew 4" not in screen(app)[-2])

    sit(scene, many("one", "two"))


def test_a_find_far_to_the_side_is_seen(diff: views.PlanDiffView) -> None:
    """The lines are scrolled as far as is needed."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        await pilot.press("slash", *"xEND", "enter")
        await wait_until_async(lambda: found(app, "xEND") != [])
        assert "xEND" in "\n".join(screen(app)[:-2])

    sit(scene, diff)


def found(app: Page, text: str) -> list[str]:
    """The pieces of lines in view that are marked as found."""
    lines = app.view.lines
    return [part.text for y in range(lines.size.height) for part in lines.render_line(y) if part.text == text]


def test_the_path_is_copied(diff: views.PlanDiffView) -> None:
    """That of the file one is in."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        await pilot.press("right_square_bracket", "y")
        assert app.clipboard == "a.py"

    sit(scene, diff)


def test_another_state_of_the_change_keeps_the_place() -> None:
    """As long as the file is there; another plan is read from its beginning."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        await pilot.press("right_square_bracket", "n", "n")
        await pilot.pause()
        here = top(app)
        assert here == "two: @@ -90,6 +90,6 @@ def f90():"
        await shown(app, many("new", "one", "two", digest="later"))
        await pilot.pause()
        assert (top(app), app.view.files.cursor) == (here, 2)
        await shown(app, many("new", "one", digest="without it"))
        await pilot.pause()
        assert (top(app), app.view.files.cursor) == ("new: new", 0)
        await pilot.press("right_square_bracket")
        await shown(app, many("new", "one", plan="other"))
        await pilot.pause()
        assert top(app) == "new: new"

    sit(scene, many("one", "two", "three"))


def test_without_a_change_it_says_so() -> None:
    """That there is none yet, or that nothing was changed; what is shown later is seen."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        await wait_until_async(lambda: NOTHING_YET in "\n".join(screen(app)))
        await pilot.press("n", "right_square_bracket", "y")
        await shown(app, views.PlanDiffView("p", "d", {}, [], "", None))
        await wait_until_async(lambda: NO_CHANGES in "\n".join(screen(app)))
        await shown(app, many("one"))
        await wait_until_async(lambda: "M one" in "\n".join(screen(app)))
        assert NO_CHANGES not in "\n".join(screen(app))

    sit(scene)


def test_every_theme_can_be_read() -> None:
    """Text on what came and went, and the words in it, stand out from their ground."""

    async def scene(app: Page, pilot: "Pilot[None]") -> None:
        weak: list[str] = []
        for name in THEMES:
            app.theme = name
            await pilot.pause()
            for part in ("added", "removed", "added-word", "removed-word", "file", "hunk", "match"):
                style = app.view.lines.get_component_rich_style(f"diff--{part}")
                if contrast(style) < 3:
                    weak.append(f"{name} {part} {contrast(style):.1f}")
        assert weak == [], weak

    sit(scene, many("one"))


def contrast(style: Style) -> float:
    """How much text and ground differ, as WCAG has it."""
    assert style.color is not None
    assert style.bgcolor is not None
    first, second = (luminance(Color.from_rich_color(color)) for color in (style.color, style.bgcolor))
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def luminance(color: Color) -> float:
    parts = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))
