"""Pictures of the dashboard in front of a scripted daemon, the same on every machine."""

import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea
from textual.worker import WorkerState

from cleveragents_tui.dashboard.app import Dashboard
from cleveragents_tui.dashboard.link import Status
from store import paths
from tests.dashboard.dashboards import PAUSE, Seat
from tests.dashboard.scenery import NOW
from tests.dashboard.scripted import ScriptedDaemon
from tests.dashboard.world import World

Play = Callable[[Seat], Awaitable[None]]
COMPACT, USUAL, LARGE = (80, 24), (120, 40), (200, 50)
ENDLESS = {"verb", "look"}
"""Workers that are not waited for: what a verb's dialog is the answer to, and whoever watches a log."""
IDLE = 3
"""Looks in a row that find nothing left to do."""


@pytest.fixture(autouse=True)
def _anywhere(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No machine shows: neither its time zone nor how its terminal is set up."""
    monkeypatch.setenv("TZ", "UTC")
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short path, for a socket has to fit."""
    root = Path(tempfile.mkdtemp(prefix="ca-"))
    yield root
    shutil.rmtree(root)


class Guest(Seat):
    """Somebody in front of a dashboard in which nothing happens by itself: it is looked at when it is at rest."""

    async def sees(self, *texts: str) -> None:
        """Wait until all of `texts` are on the screen."""
        await settle(self)
        await super().sees(*texts)


class Studio:
    """Takes pictures.

    Attributes:
        home: Where the files of the scene are; no picture shows it.
        daemon: What the dashboard talks to.
    """

    def __init__(self, home: Path, compare: Callable[..., bool]) -> None:
        self.home = home
        self._compare = compare
        self.environ = {"CLEVERAGENTS_HOME": str(home), "CLEVERAGENTS_NO_AUTOSTART": "1"}
        self.daemon: ScriptedDaemon

    def takes(self, world: World, play: Play, size: tuple[int, int] = USUAL, **settings: Any) -> bool:
        """Play a scene, and compare what it ends with; True when it is the picture that was stored."""
        found = paths.resolve(self.environ)
        found.create()
        self.daemon = ScriptedDaemon(found.socket, world.answer)
        app = Dashboard(found, self.environ, clock=lambda: NOW, **settings)
        app.animation_level = "none"

        async def before(pilot: "Pilot[None]") -> None:
            seat = Guest(app, pilot)
            await seat.until(lambda: app.pulse.link.status is Status.UP and app.pulse.as_of)
            await settle(seat)
            await play(seat)
            await settle(seat)
            assert not self.daemon.broken

        with self.daemon:
            return self._compare(app, terminal_size=size, run_before=before)


@pytest.fixture
def studio(home: Path, snap_compare: Callable[..., bool]) -> Studio:
    """What takes a picture, and compares it with the one that was stored."""
    return Studio(home, snap_compare)


async def settle(seat: Seat) -> None:
    """Wait until there is nothing left to fetch or to draw, and let no cursor blink."""
    for field in seat.app.screen.query(Input):
        field.cursor_blink = False
    for area in seat.app.screen.query(TextArea):
        area.cursor_blink = False
    for _ in range(IDLE):
        await seat.until(lambda: not _busy(seat.app))
        await seat.pilot.pause(PAUSE)


def _busy(app: Dashboard) -> bool:
    at_work = {WorkerState.PENDING, WorkerState.RUNNING}
    return any(worker.state in at_work and worker.group not in ENDLESS for worker in app.workers)
