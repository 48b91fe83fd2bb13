"""The dashboard in a real terminal: it opens, it ends in every way in which one can, and leaves terminal and daemon well."""

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.homes import CA, Home
from tests.waiting import wait_until

SECONDS = 40
ALTERNATE, ORDINARY = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """A terminal with a `ca` in it."""

    def __init__(self, home: Home, *arguments: str, columns: int = 100, rows: int = 30) -> None:
        self.ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.seen = b""
        self.process = subprocess.Popen(
            [*CA, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**home.environ_of("dashboard", *arguments), "TERM": "xterm-256color"},
            cwd=home.work,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  what a terminal does to a shell
        )

    def read(self, seconds: float = 0.1) -> None:
        """Take in what has been drawn."""
        while select.select([self.ours], [], [], seconds)[0]:
            try:
                chunk = os.read(self.ours, 65_536)
            except OSError:
                return
            self.seen += chunk
            seconds = 0

    def sees(self, text: str) -> None:
        """Wait until something was drawn."""
        deadline = time.monotonic() + SECONDS
        while text.encode() not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:].decode(errors="replace")
            assert self.process.poll() is None, self.seen[-2000:].decode(errors="replace")
            self.read()

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.ours, keys.encode())

    def ends(self) -> int:
        """Its exit code, once it has ended."""

        def ended() -> bool:
            self.read(0.02)
            return self.process.poll() is not None

        wait_until(ended, seconds=SECONDS)
        self.read()
        return self.process.returncode

    def restored(self) -> bool:
        """Whether the terminal is as it was: its own screen, its own modes."""
        return self.seen.rfind(ORDINARY) > self.seen.rfind(ALTERNATE) and termios.tcgetattr(self.theirs) == self.before

    def hang_up(self) -> None:
        """Close the window."""
        for descriptor in (self.theirs, self.ours):
            os.close(descriptor)
        self.ours = self.theirs = -1

    def close(self) -> None:
        """Whatever is left of it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        if self.ours >= 0:
            self.hang_up()


@pytest.fixture
def terminal(shared: Home, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """A terminal with a dashboard of the shared home in it; its arguments may be given as parameter."""
    shared.run("status")  # what is asked about its daemon does not depend on how soon the dashboard has started one
    made = Terminal(shared, *getattr(request, "param", ("tui",)))
    yield made
    made.close()


@pytest.mark.parametrize("terminal", [(), ("tui",), ("tui", "--read-only")], indirect=True, ids=" ".join)
def test_it_opens_and_leaves_the_terminal_as_it_was(terminal: Terminal, shared: Home) -> None:
    """`ca` alone on a terminal is the dashboard."""
    terminal.sees("Quit")
    terminal.press("q")

    assert terminal.ends() == 0
    assert ALTERNATE in terminal.seen
    assert terminal.restored()
    assert b"Traceback" not in terminal.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_the_daemon_goes_on(
    terminal: Terminal, shared: Home, number: signal.Signals
) -> None:
    terminal.sees("Quit")
    pid = shared.data("daemon", "status")["pid"]
    terminal.process.send_signal(number)

    assert terminal.ends() == 0
    assert terminal.restored()
    assert shared.data("daemon", "status")["pid"] == pid


def test_it_dies_with_its_terminal_and_the_daemon_goes_on(terminal: Terminal, shared: Home) -> None:
    terminal.sees("Quit")
    pid = shared.data("daemon", "status")["pid"]
    terminal.hang_up()

    assert terminal.process.wait(SECONDS) == 128 + signal.SIGHUP
    assert shared.data("daemon", "status")["pid"] == pid
    assert psutil.pid_exists(pid)


def test_the_title_of_the_terminal_says_what_needs_somebody(shared: Home) -> None:
    shared.executed("true")
    terminal = Terminal(shared, "tui")
    try:
        terminal.sees("\x1b]2;◆ ")
        terminal.sees(" · CleverAgents\x07")
        terminal.press("q")
        assert terminal.ends() == 0
        assert terminal.seen.find(b"\x1b[22;2t") < terminal.seen.find(b"\x1b]2;")  # the one before is remembered first
        assert terminal.seen.rfind(b"\x1b]2;\x07\x1b[23;2t") > terminal.seen.rfind(" · CleverAgents\x07".encode())
    finally:
        terminal.close()


def test_without_a_terminal_it_says_so_and_ca_alone_is_the_status(shared: Home) -> None:
    error = shared.error("tui", code=2)
    assert error["code"] == "usage"
    assert error["suggestions"] == ["ca status"]

    assert "daemon up" in shared.run().out


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_be_drawn_on_gets_the_status(shared: Home, variables: dict[str, str]) -> None:
    ours, theirs = os.openpty()
    environ = {**shared.environ_of("dumb"), **variables}
    with subprocess.Popen([*CA], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, cwd=shared.work) as process:
        assert process.wait(SECONDS) == 0
    os.close(theirs)
    seen = os.read(ours, 65_536)
    os.close(ours)

    assert b"daemon up" in seen
    assert ALTERNATE not in seen
