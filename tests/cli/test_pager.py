"""The pager: what is longer than the screen goes through it, and nothing else does."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.cli.test_terminal import ESCAPE, on_terminal
from tests.homes import Home

MARK = "sed 's/^/> /'"
"""A pager that can be seen."""


class Long(NamedTuple):
    """A home with a plan of which everything is longer than a few lines."""

    home: Home
    plan: str
    job: str


@pytest.fixture(scope="module")
def long(shared: Home) -> Long:
    plan = shared.executed("seq 40; seq 40 >> a.txt", "seq 8; false", code=1)
    return Long(shared, plan, shared.plan(plan)["job_id"])


VERBS: dict[str, Callable[[Long], list[str]]] = {
    "plan diff": lambda made: [made.plan],
    "plan logs": lambda made: [made.plan],
    "plan tree": lambda made: [made.plan],
    "plan list": lambda _: [],
    "plan errors": lambda made: [made.plan],
    "plan explain": lambda made: [made.plan],
    "plan artifacts": lambda made: [made.plan],
    "job logs": lambda made: [made.job],
    "job list": lambda _: [],
    "events": lambda _: [],
    "daemon logs": lambda _: [],
}


@pytest.mark.parametrize("verb", list(VERBS))
def test_what_is_longer_than_the_screen_is_paged(long: Long, verb: str) -> None:
    words = [*verb.split(), *VERBS[verb](long)]

    paged = on_terminal(long.home, *words, rows=2, PAGER=MARK)
    direct = on_terminal(long.home, "--no-pager", *words, rows=2, PAGER=MARK)

    assert paged.code == direct.code == 0
    assert paged.lines, paged
    assert all(line.startswith("> ") for line in paged.lines), paged.out
    assert not any(line.startswith("> ") for line in direct.lines)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        pytest.param(["plan", "diff", "{plan}"], {"rows": 200}, id="fits the screen"),
        pytest.param(["plan", "diff", "{plan}", "--no-pager"], {}, id="not wanted, said at the end"),
        pytest.param(["plan", "--no-pager", "diff", "{plan}"], {}, id="not wanted, said in between"),
        pytest.param(["plan", "diff", "{plan}", "--format", "json"], {}, id="for programs"),
        pytest.param(["plan", "list", "-f", "yaml"], {}, id="for programs, too"),
        pytest.param(["plan", "diff", "{plan}"], {"PAGER": "cat"}, id="cat"),
        pytest.param(["plan", "diff", "{plan}"], {"PAGER": ""}, id="empty"),
        pytest.param(["plan", "diff", "{plan}"], {"TERM": "dumb"}, id="dumb terminal"),
        pytest.param(["plan", "follow", "{plan}"], {}, id="following"),
        pytest.param(["config", "list"], {}, id="another verb"),
    ],
)
def test_what_needs_no_pager_gets_none(long: Long, words: list[str], settings: dict[str, str | int]) -> None:
    chosen = {"PAGER": MARK, "rows": 5, **settings}

    done = on_terminal(long.home, *(word.format(plan=long.plan) for word in words), **chosen)  # pyright: ignore[reportArgumentType]  rows is the one number

    assert done.lines
    assert not any(line.startswith("> ") for line in done.lines)


def test_pager_gets_colours_and_our_options_for_less(long: Long) -> None:
    """`less` passes colours on and leaves when all fits, unless the user has options of his own."""
    pager = 'echo "LESS=$LESS"; cat'

    ours = on_terminal(long.home, "plan", "diff", long.plan, rows=5, PAGER=pager)
    theirs = on_terminal(long.home, "plan", "diff", long.plan, rows=5, PAGER=pager, LESS="M", NO_COLOR="1")

    assert ours.lines[0] == "LESS=FRX"
    assert ESCAPE in ours.out
    assert theirs.lines[0] == "LESS=M"
    assert ESCAPE not in theirs.out


def test_lines_that_wrap_count(long: Long) -> None:
    """A screen is full of long lines sooner than of short ones."""
    plan = long.home.executed("head -c 2000 /dev/zero | tr '\\0' x")

    assert on_terminal(long.home, "plan", "logs", plan, columns=300, PAGER=MARK).out.startswith("x")
    assert on_terminal(long.home, "plan", "logs", plan, columns=40, PAGER=MARK).out.startswith("> x")


def test_pager_that_is_left_early_is_no_error(long: Long) -> None:
    """Also when it leaves more than a pipe holds unread."""
    plan = long.home.executed("seq 100000")

    done = on_terminal(long.home, "plan", "logs", plan, PAGER="head -1")

    assert (done.code, done.lines) == (0, ["1"])


@pytest.mark.parametrize("pager", ["/no/such/pager", "/etc/passwd"])
def test_pager_that_cannot_be_started_is_done_without(long: Long, pager: str) -> None:
    done = on_terminal(long.home, "plan", "logs", long.plan, "--step", "s1", rows=5, PAGER=pager)

    assert done.code == 0
    assert done.lines[-40:] == [str(number) for number in range(1, 41)]


def test_ctrl_c_in_the_pager_is_the_pagers(long: Long) -> None:
    """The signal goes to all of us; we wait for the pager, whatever it makes of it."""
    pager = "trap '' INT; cat > /dev/null; kill -INT 0; sleep 0; echo goes on"

    done = on_terminal(long.home, "plan", "logs", long.plan, rows=5, PAGER=pager)

    assert (done.code, done.lines) == (0, ["goes on"])


def test_pager_that_ctrl_c_ends_is_no_error(long: Long) -> None:
    """It is not started with the signal ignored."""
    done = on_terminal(long.home, "plan", "logs", long.plan, rows=5, PAGER="cat > /dev/null; kill -INT 0; echo no")

    assert (done.code, done.out) == (0, "")
