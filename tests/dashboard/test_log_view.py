"""The view of a log as one in front of it sees it: files of all sizes, growing or not, moved through, searched, copied."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Input

from cleveragents_tui.dashboard.widgets.log_lines import PIECE
from cleveragents_tui.dashboard.widgets.log_pane import LogPane
from cleveragents_tui.dashboard.widgets.log_reader import LogReader
from cleveragents_tui.dashboard.widgets.log_view import LogView
from tests.waiting import wait_until_async

HEIGHT = 10


class Desk(App[None]):
    """A log view of ten lines in a border."""

    CSS = "LogView { border: round $primary; }"

    def compose(self) -> ComposeResult:
        with Vertical():
            yield LogView(empty="no step has run")

    @property
    def view(self) -> LogView:
        return self.screen_stack[0].query_one(LogView)

    @property
    def status(self) -> str:
        return self.view.border_subtitle or ""

    def drawn(self) -> list[str]:
        """What stands on the screen within the border."""
        lines = self.view.query_one(LogPane).render_lines(self.view.query_one(LogPane).size.region)
        return [line.text.rstrip() for line in lines]


@asynccontextmanager
async def desk(path: Path | None = None, *, live: bool = False) -> AsyncGenerator[tuple[Desk, "Pilot[None]"]]:
    app = Desk()
    async with app.run_test(size=(60, HEIGHT + 2)) as pilot:
        app.view.show(None if path is None else str(path), live=live)
        app.view.focus()
        yield app, pilot


def seated(story: Callable[[], Awaitable[None]]) -> None:
    """Run what somebody does."""

    async def bounded() -> None:
        await asyncio.wait_for(story(), 50)

    asyncio.run(bounded())


async def sees(app: Desk, *texts: str) -> None:
    """Wait until these are the last lines of the screen."""
    await wait_until_async(lambda: app.view.text[-len(texts) :] == list(texts))


async def says(app: Desk, *texts: str) -> None:
    """Wait until the border says all of `texts`."""
    await wait_until_async(lambda: all(text in app.status for text in texts))


def numbered(path: Path, count: int, first: int = 0) -> Path:
    """Append numbered lines."""
    with path.open("ab") as stream:
        stream.write(b"".join(b"line %d\n" % number for number in range(first, first + count)))
    return path


def watching(app: Desk) -> int:
    """How many workers of the view are at work."""
    return sum(worker.is_running for worker in app.workers)


# --- what there is to see --------------------------------------------------------------------------------------------------


def test_without_file_it_says_what_its_owner_wants() -> None:
    """No log is one sentence, and no work."""

    async def story() -> None:
        async with desk() as (app, pilot):
            await pilot.pause()
            assert app.drawn()[0] == "no step has run"
            assert (app.status, watching(app)) == ("", 0)
            await pilot.press("f", "w", "j", "G", "n", "slash", "x", "enter", "escape")  # nothing to do is no error

    seated(story)


def test_log_may_be_chosen_before_the_view_is_on_the_screen(tmp_path: Path) -> None:
    """Who makes a view may say at once what it shows."""
    path = numbered(tmp_path / "log", 3)

    async def story() -> None:
        async with desk() as (app, _):
            view = LogView(id="second")
            view.show(str(path), live=True)
            await app.query_one(Vertical).mount(view)
            await wait_until_async(lambda: view.text == ["line 0", "line 1", "line 2"])
            assert view.following

    seated(story)


def test_finished_log_is_shown_from_its_start(tmp_path: Path) -> None:
    """Its first lines, how many there are, and then nothing goes on."""

    async def story() -> None:
        async with desk(numbered(tmp_path / "log", 1_234)) as (app, _):
            await sees(app, "line 8", "line 9")
            assert app.status.startswith("1,234 lines · 11 KiB")
            await wait_until_async(lambda: watching(app) == 0)

    seated(story)


@pytest.mark.parametrize(
    ("content", "live", "sentence"),
    [(None, True, "nothing was printed yet"), (None, False, "there is no log"),
     (b"", True, "nothing was printed yet"), (b"", False, "it printed nothing")],
)  # fmt: skip
def test_log_without_lines_says_why(tmp_path: Path, content: bytes | None, sentence: str, *, live: bool) -> None:
    """A step that has printed nothing yet is not one that printed nothing."""
    path = tmp_path / "log"
    if content is not None:
        path.write_bytes(content)

    async def story() -> None:
        async with desk(path, live=live) as (app, _):
            await wait_until_async(lambda: app.drawn()[0] == sentence)

    seated(story)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A directory is no log."""

    async def story() -> None:
        async with desk(tmp_path) as (app, _):
            await wait_until_async(lambda: app.drawn()[0] == "it cannot be read: Is a directory")

    seated(story)


def test_colours_are_kept_and_markup_is_not_read(tmp_path: Path) -> None:
    """What a program printed in red is red; what it printed in brackets is in brackets."""
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[1;31mred\x1b[0m [red]not[/red]\x1b]0;title\x07\n\x1b[97mwhite\n")

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "red [red]not[/red]", "white")
            await pilot.pause()
            red, plain = (app.screen.get_style_at(x, 1) for x in (2, 8))
            assert (red.bold, plain.bold, red.color == plain.color) == (True, None, False)
            assert app.screen.get_style_at(2, 2).color != plain.color
            app.theme = "textual-light"
            await pilot.pause()
            paper = app.screen.get_style_at(2, 2)
            assert paper.color == app.screen.get_style_at(8, 1).color  # white on white is no colour to read

    seated(story)


# --- a log that grows ------------------------------------------------------------------------------------------------------


def test_live_log_is_waited_for_and_followed(tmp_path: Path) -> None:
    """It need not exist yet; then its end is shown, and what comes."""
    path = tmp_path / "log"

    async def story() -> None:
        async with desk(path, live=True) as (app, pilot):
            await pilot.pause()
            numbered(path, 300)
            await sees(app, "line 298", "line 299")
            assert "following · 300 lines" in app.status
            numbered(path, 100, 300)
            await sees(app, "line 398", "line 399")
            with path.open("ab") as stream:
                stream.write(b"10%\r20%")
            await sees(app, "line 399", "20%")
            with path.open("ab") as stream:
                stream.write(b"\r30%\n")
            await sees(app, "line 399", "30%")

    seated(story)


def test_scrolling_up_stops_following_and_the_end_resumes_it(tmp_path: Path) -> None:
    """Who reads something is not torn away; G, the end, or f follow again."""
    path = numbered(tmp_path / "log", 100)

    async def story() -> None:
        async with desk(path, live=True) as (app, pilot):
            await sees(app, "line 99")
            await pilot.press("k", "k")
            assert not app.view.following
            numbered(path, 50, 100)
            await says(app, "150 lines")
            assert "following" not in app.status
            assert app.view.text[-1] == "line 97"
            await pilot.press("G")
            await sees(app, "line 149")
            await pilot.press("f")
            numbered(path, 50, 150)
            await says(app, "200 lines")
            assert app.view.text[-1] == "line 149"
            await pilot.press("f")
            await sees(app, "line 199")
            await pilot.press("k", "j")
            assert app.view.following

    seated(story)


def test_end_of_step_is_shown_and_then_nothing_goes_on(tmp_path: Path) -> None:
    """What was printed last is there, although the step is over."""
    path = numbered(tmp_path / "log", 5)

    async def story() -> None:
        async with desk(path, live=True) as (app, _):
            await sees(app, "line 4")
            assert watching(app) == 1
            numbered(path, 5, 5)
            app.view.show(str(path), live=False)
            await sees(app, "line 9")
            await wait_until_async(lambda: watching(app) == 0)
            assert "following" not in app.status

    seated(story)


class Door:
    """Where looks wait until it is opened."""

    def __init__(self) -> None:
        self.came = 0
        self.opened = threading.Event()
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> None:
        self.came += 1
        self.opened.wait()
        self._one_at_a_time.acquire()

    def __exit__(self, *_: object) -> None:
        self._one_at_a_time.release()


def test_a_look_that_was_given_up_loses_nothing(tmp_path: Path) -> None:
    """A step ends while its log is looked at: what that look found is shown by the one that takes its place."""

    async def story() -> None:
        path = numbered(tmp_path / "log", 1)
        async with desk(path, live=True) as (app, _):
            await sees(app, "line 0")
            source = app.view.query_one(LogReader).source
            assert source is not None
            door = Door()
            source._one_at_a_time = door  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]  nothing else holds a look up
            numbered(path, 1, 1)
            await wait_until_async(lambda: door.came == 1)
            app.view.show(str(path), live=False)
            await wait_until_async(lambda: door.came == 2)
            door.opened.set()
            await sees(app, "line 0", "line 1")

    seated(story)


@pytest.mark.parametrize("how", ["hidden", "other screen"])
def test_log_that_is_not_seen_is_not_looked_at(tmp_path: Path, how: str) -> None:
    """Behind something else it rests; when it is seen again it catches up."""
    path = numbered(tmp_path / "log", 5)

    async def story() -> None:
        async with desk(path, live=True) as (app, pilot):
            await sees(app, "line 4")
            if how == "hidden":
                app.query_one(Vertical).display = False
            else:
                await app.push_screen(Screen[None]())
            await wait_until_async(lambda: watching(app) == 0)
            numbered(path, 5, 5)
            await pilot.pause()
            assert app.view.line_count == 5
            if how == "hidden":
                app.query_one(Vertical).display = True
            else:
                app.pop_screen()
            await sees(app, "line 9")

    seated(story)


def test_log_that_begins_anew_or_goes_away_says_so(tmp_path: Path) -> None:
    """A shorter file is another one; one that is gone is not shown as if it were there."""
    path = numbered(tmp_path / "log", 500)

    async def story() -> None:
        async with desk(path, live=True) as (app, _):
            await sees(app, "line 499")
            path.write_bytes(b"anew\n")
            await wait_until_async(lambda: app.view.text == ["anew"])
            assert "1 line ·" in app.status
            path.unlink()
            await wait_until_async(lambda: app.drawn()[0] == "the log is gone")
            numbered(path, 3)
            await sees(app, "line 2")

    seated(story)


def test_log_removed_after_its_step_is_missed_when_it_is_read(tmp_path: Path) -> None:
    """Nobody looks at a finished log; who scrolls to what was not read yet is told."""
    path = numbered(tmp_path / "log", 100_000)

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await says(app, "100,000 lines")
            await wait_until_async(lambda: watching(app) == 0)
            path.unlink()
            await pilot.press("G")
            await wait_until_async(lambda: app.drawn()[0] == "the log is gone")

    seated(story)


def test_another_log_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """A log for each step, one shown at a time; nothing of the one before is left."""
    one, other = numbered(tmp_path / "one", 300), numbered(tmp_path / "other", 2, 7_000)

    async def story() -> None:
        async with desk(one, live=True) as (app, pilot):
            await sees(app, "line 299")
            app.view.show(str(other), live=False)
            await wait_until_async(lambda: app.view.text == ["line 7000", "line 7001"])
            app.view.show(None, live=False)
            await pilot.pause()
            assert app.drawn()[0] == "no step has run"

    seated(story)


def test_end_of_large_log_is_there_before_its_lines_are_counted(tmp_path: Path) -> None:
    """The last lines at once, then their number; what is seen does not move meanwhile."""
    path = tmp_path / "log"
    body = b"".join(b"%07d %s\n" % (number, b"x" * (number % 60)) for number in range(20_000))
    with path.open("wb") as stream:
        for _ in range(3 * PIECE // len(body) + 1):
            stream.write(body)
        stream.write(b"last\n")
    count = (3 * PIECE // len(body) + 1) * 20_000 + 1

    async def story() -> None:
        async with desk(path, live=True) as (app, pilot):
            await wait_until_async(lambda: app.view.text)
            assert app.view.text[-1] == "last"
            await pilot.press("k")
            seen = app.view.text
            await says(app, f"{count:,} lines")
            assert app.view.complete
            await pilot.pause()
            assert app.view.text == seen
            await pilot.press("g")
            await wait_until_async(lambda: app.view.text[0] == "0000000 ")

    seated(story)


# --- moving ----------------------------------------------------------------------------------------------------------------


def wheel_down() -> events.MouseScrollDown:
    return events.MouseScrollDown(None, x=3, y=3, delta_x=0, delta_y=1, button=0, shift=False, meta=False, ctrl=False)


def test_keys_and_wheel_move(tmp_path: Path) -> None:
    """Lines, half pages, pages and ends; nothing is left out between two pages."""
    steps = [
        ("j", 1), ("down", 2), ("k", 1), ("space", 10), ("pagedown", 19), ("ctrl+d", 23), ("ctrl+u", 19),
        ("pageup", 10), ("end", 990), ("pagedown", 990), ("home", 0), ("k", 0), ("G", 990), ("g", 0),
    ]  # fmt: skip

    async def story() -> None:
        async with desk(numbered(tmp_path / "log", 1_000)) as (app, pilot):
            await sees(app, "line 9")
            for key, top in steps:
                await pilot.press(key)
                await wait_until_async(lambda top=top: app.view.text[:1] == [f"line {top}"])
                assert len(app.view.text) == HEIGHT, key
            app.view.query_one(LogPane).post_message(wheel_down())
            await wait_until_async(lambda: app.view.text[0] == "line 3")

    seated(story)


def test_long_lines_are_moved_sideways(tmp_path: Path) -> None:
    """What does not fit is reached with l and h, also wide characters."""
    path = tmp_path / "log"
    path.write_bytes(b"0123456789" * 10 + b"END\nshort\n" + "中".encode() * 40 + b"\n")

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "short", "中" * 40)
            assert app.drawn()[0].endswith("456\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}")  # there is more of it
            assert app.drawn()[1] == "short"
            await pilot.press("l")
            await wait_until_async(
                lambda: app.drawn()[0].startswith("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}9012345")
            )
            assert app.drawn()[2].startswith("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK} 中中")
            await pilot.press(*["right"] * 5)
            await wait_until_async(lambda: app.drawn()[0].endswith("END"))
            await pilot.press(*["h"] * 6)
            await wait_until_async(lambda: app.drawn()[0].startswith("0123"))
            await pilot.press("w")
            await wait_until_async(lambda: app.drawn()[1].startswith("890123"))
            assert "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}" not in "".join(app.drawn())

    seated(story)


def test_lines_that_were_painted_leave_nothing_behind(tmp_path: Path) -> None:
    """A style of its own for each line would be kept by the thousand, long after the line was seen."""
    path = numbered(tmp_path / "log", 2_000)

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "line 9")
            kept = Strip.render_ansi.cache_info().currsize
            for _ in range(20):
                await pilot.press("pagedown")
            await sees(app, "line 189")
            assert Strip.render_ansi.cache_info().currsize < kept + 20

    seated(story)


def test_wrapped_lines_are_seen_whole(tmp_path: Path) -> None:
    """Each row of a long line can be reached, up and down, by keys and wheel; without wrapping it is one line again."""
    path = tmp_path / "log"
    rows = [f"{row:03d}" + "." * 54 + "|" for row in range(14)]  # 58 columns each
    path.write_bytes(b"first\n" + "".join(rows).encode() + b"\nlast\n")

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "last")
            await pilot.press("w")
            await wait_until_async(lambda: app.drawn()[:3] == ["first", *narrow(rows)[:2]])
            whole = ["first", *narrow(rows), "last"]
            seen = app.drawn()
            for _ in range(len(whole) - HEIGHT):
                await pilot.press("j")
                seen.append(app.drawn()[-1])
            assert seen == whole
            await pilot.press("j", "pagedown")
            assert app.drawn() == whole[-HEIGHT:]
            await pilot.press("k", "pageup")
            assert app.drawn() == whole[-HEIGHT - 10 : -10] or whole[:HEIGHT]
            await pilot.press("w")
            await wait_until_async(lambda: app.drawn()[2] == "last")

    seated(story)


def narrow(rows: list[str], width: int = 57) -> list[str]:
    """The same text in rows that leave a column for the scroll bar."""
    text = "".join(rows)
    return [text[at : at + width] for at in range(0, len(text), width)]


def test_wrapped_live_log_shows_its_end(tmp_path: Path) -> None:
    """The last row of the last line is at the bottom, also after the window changed."""
    path = numbered(tmp_path / "log", 50)
    with path.open("ab") as stream:
        stream.write(b"x" * 200 + b"END\n")

    async def story() -> None:
        async with desk(path, live=True) as (app, pilot):
            await sees(app, "x" * 200 + "END")
            await pilot.press("w")
            await wait_until_async(lambda: app.drawn()[-1].endswith("END"))
            await pilot.resize_terminal(40, 9)
            await wait_until_async(lambda: app.drawn()[-1].endswith("END") and len(app.drawn()) == 7)
            with path.open("ab") as stream:
                stream.write(b"y" * 100 + b"LAST\n")
            await wait_until_async(lambda: app.drawn()[-1].endswith("LAST"))

    seated(story)


# --- search ----------------------------------------------------------------------------------------------------------------


def test_search_jumps_from_match_to_match(tmp_path: Path) -> None:
    """Enter finds the first one from here on, n and N the others, all round; how many there are is said."""
    path = numbered(tmp_path / "log", 3_000)

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "line 9")
            await pilot.press("slash", *"777", "enter")
            await says(app, "777: 1 of 3 lines")
            await wait_until_async(lambda: "line 777" in app.view.text)
            for key, place, line in (("n", 2, 1777), ("n", 3, 2777), ("n", 1, 777), ("N", 3, 2777), ("N", 2, 1777)):
                await pilot.press(key)
                await says(app, f"777: {place} of 3 lines")
                await wait_until_async(lambda line=line: f"line {line}" in app.view.text)
            await pilot.press("slash", "enter")
            await says(app, "777: 3 of 3 lines")
            await pilot.press("escape")
            await wait_until_async(lambda: "777" not in app.status)
            assert not app.view.query_one(Input).display

    seated(story)


def test_found_text_stands_out_without_colours_too(tmp_path: Path) -> None:
    """In the line that was jumped to it is reversed, in others underlined."""
    path = tmp_path / "log"
    path.write_bytes(b"a word\na Word\nnone\n")

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "none")
            app.view.search("word")
            await says(app, "word: 1 of 2 lines")
            await pilot.pause()
            assert [bool(app.screen.get_style_at(x, 1).reverse) for x in (1, 2, 3, 6, 7)] == [
                False,
                False,
                True,
                True,
                False,
            ]
            assert [bool(app.screen.get_style_at(x, 2).underline) for x in (1, 3, 6)] == [False, True, True]
            app.view.search("Word")
            await says(app, "Word: 1 of 1 line")
            await pilot.pause()
            assert not app.screen.get_style_at(3, 1).underline

    seated(story)


def test_line_full_of_matches_is_no_trouble(tmp_path: Path) -> None:
    """A line of kilobytes that holds the text thousands of times is drawn like any other, wrapped too."""
    path = tmp_path / "log"
    path.write_bytes("schön ".encode() * 2_300 + b"\n")

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await wait_until_async(lambda: app.view.text)
            app.view.search("schön")
            await says(app, "1 of 1 line")
            await pilot.press("w", "pagedown", "pageup")
            assert app.drawn()[0].startswith("schön schön")

    seated(story)


def test_what_is_not_there_is_said_and_nothing_moves(tmp_path: Path) -> None:
    """Not found is an answer."""

    async def story() -> None:
        async with desk(numbered(tmp_path / "log", 100)) as (app, pilot):
            await sees(app, "line 9")
            await pilot.press("j")
            app.view.search("[zebra]")
            await wait_until_async(lambda: "zebra" in app.status and "not found" in app.status)
            await pilot.press("n", "N")
            assert app.view.text[0] == "line 1"

    seated(story)


def test_search_shows_what_is_far_to_the_right(tmp_path: Path) -> None:
    """What was found is on the screen, in both directions."""
    path = numbered(tmp_path / "log", 500)
    with path.open("ab") as stream:
        stream.write(b"x" * 300 + b"needle\n")

    async def story() -> None:
        async with desk(path) as (app, _):
            await sees(app, "line 9")
            app.view.search("needle")
            await wait_until_async(lambda: any("needle" in line for line in app.drawn()))
            app.view.search("line 7")
            await wait_until_async(lambda: "line 7" in app.drawn())

    seated(story)


def test_search_counts_what_comes(tmp_path: Path) -> None:
    """A log that is followed goes on being searched, and the jump away from its end ends the following."""
    path = numbered(tmp_path / "log", 100)

    async def story() -> None:
        async with desk(path, live=True) as (app, pilot):
            await sees(app, "line 99")
            await pilot.press("slash", *"line 5", "enter")
            await says(app, "line 5: 1 of 11 lines")
            assert not app.view.following
            numbered(path, 1, 5_000)
            await says(app, "line 5: 1 of 12 lines", "101 lines")

    seated(story)


# --- copying ---------------------------------------------------------------------------------------------------------------


def test_what_is_seen_or_marked_is_copied(tmp_path: Path) -> None:
    """Without a mark the lines of the screen, with one what is marked, without its colours."""
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[31mone\x1b[0m\ntwo words\nthree\n")

    async def story() -> None:
        async with desk(path) as (app, pilot):
            await sees(app, "three")
            await pilot.press("y")
            assert app.clipboard == "one\ntwo words\nthree"
            await pilot.mouse_down(LogPane, offset=(4, 1))
            await pilot.hover(LogPane, offset=(3, 2))
            await pilot.mouse_up(LogPane, offset=(3, 2))
            await wait_until_async(app.screen.get_selected_text)
            await pilot.press("y")
            assert app.clipboard.startswith("words\nthr")

    seated(story)
