"""The lines of a log: what a program printed, where its lines lie in the file, and which of them hold a text."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleveragents_tui.dashboard.widgets import ansi
from cleveragents_tui.dashboard.widgets.log_lines import BLOCK, LONGEST, Line, LogLines, Seen
from cleveragents_tui.dashboard.widgets.log_search import PIECE, LogSearch


def shown(raw: bytes) -> str:
    return "".join(text for text, _ in ansi.pieces(raw))


def looks(raw: bytes) -> list[tuple[str, str]]:
    return [(text, str(style)) for text, style in ansi.pieces(raw)]


def looked(path: Path) -> LogLines:
    """The lines of a file that was looked through."""
    log = LogLines(str(path))
    log.look()
    while not log.complete:
        log.look()
    return log


def found(log: LogLines, text: str) -> list[int]:
    search = LogSearch(log, text)
    while not search.done:
        search.search_on()
    return list(search.found)


# --- one line --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"", ""),
        ("naïve 中文 ✔".encode(), "naïve 中文 ✔"),
        (b"bad \xff\xfe", r"bad \xff\xfe"),
        (b"a\x00b\x07c\x08d\x7f", "abcd"),
        ("c1 \x9b31m nbsp\xa0end \u202etxet".encode(), "c1 31m nbsp end txet"),
        (b"\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "textlink"),
        (b"\x1b[2Kup\x1b[1A\x1b[?25l\x1b(Bdown", "updown"),
        (b"cut off \x1b[3", "cut off "),
        (b"10%\r50%\r100%", "100%"),
        (b"100%\r", "100%"),
        (b"dos line\r", "dos line"),
        (b"step 1\x1b[2K\x1b[1Gstep 2", "step 2"),
        (b"a\tb", "a       b"),
        ("\x1b[1m中\x1b[0m\tb".encode(), "中      b"),
        (b"[bold]no markup[/bold]", "[bold]no markup[/bold]"),
    ],
)
def test_line_is_shown_as_terminal_would_have_left_it(raw: bytes, text: str) -> None:
    """Nothing that plays with the screen is left, and nothing of the text is lost."""
    assert shown(raw) == text


@pytest.mark.parametrize(
    ("codes", "style"),
    [
        ("31", "color(1)"), ("1;32", "bold color(2)"), ("92", "color(10)"), ("48;5;208", "on color(208)"),
        ("38;2;1;2;3", "#010203"), ("38:2::1:2:3", "#010203"), ("38:5:9", "color(9)"),
        ("2;3;4;7;9", "dim italic reverse strike underline"), ("4:3", "underline"), ("4;4:0", "none"), ("31;39", "none"),
        ("41;49", "none"), ("1;2;22", "none"), ("31;0", "none"), ("31;", "none"), ("38;5;999", "none"),
        ("38;2;1;2", "none"), ("38", "none"), ("5;8;99", "none"), (";;1", "bold"),
        ("9" * 5_000, "none"),
    ],
)  # fmt: skip
def test_colours_and_attributes_are_kept(codes: str, style: str) -> None:
    """Every way to say a colour is understood; what is none is left out."""
    [(text, found_style)] = looks(f"\x1b[{codes}mx".encode())
    assert text == "x"
    assert set(found_style.split()) == set(style.split())


def test_colour_set_before_redrawing_goes_on() -> None:
    """What was drawn over is gone, but not the colour that it switched on."""
    assert looks(b"\x1b[32m10%\r100%\x1b[0m done") == [("100%", "color(2)"), (" done", "none")]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.text(alphabet="\x1b[]m;:0381Kx\r\t\x07\x9b", max_size=30).map(str.encode))
def test_nothing_that_is_printed_reaches_the_terminal_as_control(raw: bytes) -> None:
    """Whatever the bytes are, what is drawn is printable."""
    assert shown(raw.replace(b"\n", b"")).isprintable()


# --- the file --------------------------------------------------------------------------------------------------------------


def mixed(seed: int) -> bytes:
    """Lines of all lengths over several blocks, the last one without an end."""
    dice = random.Random(seed)
    lengths = [dice.choice((0, 0, 1, 80, 300, 5_000)) for _ in range(200)] + [0] * 3_000 + [BLOCK - 1, BLOCK, 3]
    return b"\n".join(bytes(dice.choices(b"abc \xff", k=length)) for length in lengths)


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_lines_are_those_of_the_file_wherever_blocks_end(tmp_path: Path, end: bytes) -> None:
    """Any range of lines is what splitting the whole file gives."""
    path = tmp_path / "log"
    content = mixed(1) + end
    path.write_bytes(content)
    log = looked(path)
    expected = content.removesuffix(b"\n").split(b"\n")
    assert log.count == len(expected)
    for first in (0, 1, 50, 199, 1_000, log.count - 3):
        assert [line.raw for line in log.lines(first, 40)] == [line[:LONGEST] for line in expected[first : first + 40]]
    assert log.lines(log.count, 5) == []


def test_long_line_is_cut_and_says_how_much_is_missing(tmp_path: Path) -> None:
    """A line of megabytes is not read whole, nor are its neighbours lost."""
    path = tmp_path / "log"
    path.write_bytes(b"before\n" + b"x" * 3_000_000 + b"\nafter\n")
    log = looked(path)
    assert log.lines(0, 9) == [Line(b"before"), Line(b"x" * LONGEST, 3_000_000 - LONGEST), Line(b"after")]


def test_long_line_that_was_redrawn_shows_last_drawing(tmp_path: Path) -> None:
    """A progress bar that was drawn a hundred thousand times is one line of megabytes, and its end counts."""
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"\r%d of 300000" % number for number in range(100_000)) + b"\nafter\n")
    assert looked(path).lines(0, 2) == [Line(b"99999 of 300000"), Line(b"after")]


def test_tail_is_known_before_lines_are_counted(tmp_path: Path) -> None:
    """The last lines are there at once, and about how many there are."""
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %06d\n" % number for number in range(100_000)))
    tail = LogLines(str(path)).tail()
    assert [line.raw for line in tail.lines[-2:]] == [b"line 099998", b"line 099999"]
    assert 99_000 < tail.about < 101_000


def nothing(path: Path) -> None:
    """It stays as it is."""


def append(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more\n")


def shorten(path: Path) -> None:
    path.write_bytes(b"n\n")


def rewrite(path: Path) -> None:
    path.write_bytes(b"new\n" * 10)


def replace(path: Path) -> None:
    rewrite(path.with_name("other"))
    path.with_name("other").replace(path)


@pytest.mark.parametrize(
    ("change", "seen", "last"),
    [
        (nothing, Seen.SAME, b"old"), (append, Seen.GROWN, b"more"), (shorten, Seen.ANEW, b"n"),
        (rewrite, Seen.ANEW, b"new"), (replace, Seen.ANEW, b"new"), (Path.unlink, Seen.ABSENT, None),
    ],
)  # fmt: skip
def test_look_tells_what_became_of_the_file(
    tmp_path: Path, change: Callable[[Path], None], seen: Seen, last: bytes | None
) -> None:
    """More of it, a shorter one, one rewritten in place, another one, none."""
    path = tmp_path / "log"
    path.write_bytes(b"old\nold\n")
    log = looked(path)
    change(path)
    assert log.look() is seen
    assert [line.raw for line in log.lines(max(0, log.count - 1), 1)] == ([] if last is None else [last])


def test_line_grows_until_it_ends(tmp_path: Path) -> None:
    """A line without an end is a line; with its end it is the same one."""
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    log = looked(path)
    assert (log.count, log.lines(1, 1)) == (2, [Line(b"tw")])
    with path.open("ab") as stream:
        stream.write(b"o\n")
    log.look()
    assert (log.count, log.lines(1, 1)) == (2, [Line(b"two")])


# --- search ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("error", [0, 1, 4]), ("Error", [1]), ("an error", [0, 4]), ("50%", []), ("100%", [2]), ("31m", []),
        ("größe", [3]), ("last", [5]), (".", []), ("[x]", [3]),
    ],
)  # fmt: skip
def test_search_finds_what_is_seen(tmp_path: Path, text: str, lines: list[int]) -> None:
    """Case counts with a capital; colours do not part words; what was drawn over is gone; no pattern is understood."""
    path = tmp_path / "log"
    path.write_bytes(
        b"an ERROR error\nError\n50%\r100%\r\n" + "größe [x]\n".encode() + b"an \x1b[31mer\x1b[1mror\x1b[0m\nthe last"
    )
    assert found(looked(path), text) == lines


def test_search_finds_text_across_pieces(tmp_path: Path) -> None:
    """Where a piece ends makes no difference, neither between lines nor within one that is longer than a piece."""
    path = tmp_path / "log"
    filler = b"." * 99 + b"\n"
    lines = PIECE // 100 * 2
    path.write_bytes(
        filler * lines + b"y" * (PIECE - 3) + b"needle" + b"z" * PIECE + b"needle\n" + filler + b"a needle\n"
    )
    assert found(looked(path), "needle") == [lines, lines + 2]


def test_search_goes_on_when_there_is_more(tmp_path: Path) -> None:
    """The line that had no end is searched again, and counted once."""
    path = tmp_path / "log"
    path.write_bytes(b"word\nno\nwor")
    log = looked(path)
    search = LogSearch(log, "word")
    search.search_on()
    assert (search.done, list(search.found)) == (True, [0])
    with path.open("ab") as stream:
        stream.write(b"d\nword")
    log.look()
    assert not search.done
    search.search_on()
    assert (search.done, list(search.found)) == (True, [0, 2, 3])


def test_next_and_previous_go_round(tmp_path: Path) -> None:
    """Behind the last one comes the first, before the first one the last."""
    path = tmp_path / "log"
    path.write_bytes(b"no\nx\nno\nx\nno\n")
    search = LogSearch(looked(path), "x")
    search.search_on()
    assert [search.after(line) for line in (-1, 1, 2, 3)] == [1, 3, 3, 1]
    assert [search.before(line) for line in (0, 1, 3, 4)] == [3, 3, 1, 3]
    assert (search.place(3), search.place(2)) == (2, None)
