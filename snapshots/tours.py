"""Tours through the dashboard: one sitting, many pictures. To start a dashboard takes longer than all that is done in it.

A scene begins in the room of the plans, with the cursor on the first one, whatever the scene before it did.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea
from textual.worker import WorkerState

from cleveragents_tui.dashboard import themes
from cleveragents_tui.dashboard.app import Dashboard
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.screens.plans import PlansRoom
from cleveragents_tui.dashboard.widgets.board import Board
from store import paths
from tests.dashboard.dashboards import PAUSE, Seat
from tests.dashboard.scenery import NOW, identity
from tests.dashboard.scripted import ScriptedDaemon
from tests.dashboard.world import World

T = TypeVar("T")
Size = tuple[int, int]
COMPACT, USUAL, LARGE = (80, 24), (120, 40), (200, 50)
ENDLESS = {"verb", "look"}
"""Workers that are not waited for: what a verb's dialog is the answer to, and whoever watches a log."""
IDLE = 3
"""Looks in a row that find nothing left to do."""
PATIENCE = 8.0
"""Seconds after which a picture is not to be had."""
DEEPEST = 6
"""Times that escape is pressed at most to leave all that lies over a room."""


class Guest(Seat):
    """Somebody in front of a dashboard in which nothing happens by itself: it is looked at when it is at rest.

    Attributes:
        daemon: What the dashboard talks to.
        world: What that knows.
    """

    def __init__(self, app: Dashboard, pilot: "Pilot[None]", daemon: ScriptedDaemon, world: World) -> None:
        super().__init__(app, pilot)
        self.daemon = daemon
        self.world = world
        self._began = dict(vars(world))

    async def until(self, condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
        """The first true value of `condition`; it does not take long here, where nobody works."""
        return await super().until(condition, seconds=seconds)

    async def sees(self, *texts: str) -> None:
        """Wait until all of `texts` are on the screen."""
        await self.settle()
        await super().sees(*texts)

    async def settle(self) -> None:
        """Wait until there is nothing left to fetch or to draw, and let no cursor blink."""
        for kind in (Input, TextArea):
            for writable in self.app.screen.query(kind):
                writable.cursor_blink = False
        for _ in range(IDLE):
            await self.until(lambda: not _busy(self.app))
            await self.pilot.pause(PAUSE)

    async def go_to(self, plan: str) -> None:
        """Put the cursor on a plan, and wait until the plan is shown."""
        board = self.app.screen.query_one(Board)
        self.app.select_plan(identity(plan))
        await self.until(lambda: board.plan is not None and board.plan.name == plan)
        await self.settle()

    async def begin_anew(self) -> None:
        """Back to the list of the plans, as it is in the beginning, and so is the world."""
        vars(self.world).update(self._began)
        self.daemon.broken.clear()
        for _ in range(DEEPEST):
            if len(self.app.screen_stack) == 1:
                break
            await self.press("escape")
            await self.settle()
        assert len(self.app.screen_stack) == 1, f"escape does not leave {self.app.screen}"
        await self.app.switch_mode("plans")
        room = self.app.screen
        assert isinstance(room, PlansRoom)
        await self.settle()
        if room.board.filter:
            room.action_back()
            await self.until(lambda: room.board.count)
        if room.board.count:
            if "▾" in self.text():
                await self.go_to("modernise")
                await self.press("left")
            room.pane.open_tab("steps")
            room.action_back()
            room.board.action_first()
        self.app.theme = themes.DARK.name
        self.app.echoed = ""
        await self.without_notices()
        await self.settle()

    async def without_notices(self) -> None:
        """Take away what was announced, and wait until it is gone."""
        self.app.clear_notifications()
        await self.until(lambda: not self.app.screen.query("Toast"))


def _busy(app: Dashboard) -> bool:
    at_work = {WorkerState.PENDING, WorkerState.RUNNING}
    return any(worker.state in at_work and worker.group not in ENDLESS for worker in app.workers)


Play = Callable[[Guest], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    """What is done, and what a person should see then.

    Attributes:
        name: Of the picture.
        says: What the picture shows.
        play: What is done; it asserts what it can.
        sizes: Of the terminals in which it is taken; of what is laid out in one way only, one is enough.
    """

    name: str
    says: str
    play: Play
    sizes: tuple[Size, ...] = (COMPACT,)


@dataclass(frozen=True)
class Tour:
    """Scenes in one sitting.

    Attributes:
        name: It ends the names of the pictures; none for what is usual.
        stage: Makes the world in a home.
        colours: Whether the terminal has any.
        settings: Of the dashboard.
    """

    name: str
    size: Size
    stage: Callable[[Path], World]
    scenes: Sequence[Scene]
    colours: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def own_scenes(self) -> list[Scene]:
        """Those that are taken in this size."""
        return [scene for scene in self.scenes if self.size in scene.sizes]

    def take(self, scenes: Sequence[Scene]) -> "Pictures":
        """The pictures of some scenes; where there is none, what was not as it should be."""
        root = Path(tempfile.mkdtemp(prefix="ca-"))  # short, for a socket has to fit
        try:
            with pytest.MonkeyPatch.context() as patch:
                if not self.colours:
                    patch.setenv("NO_COLOR", "1")
                return asyncio.run(self._take(root, scenes))
        finally:
            shutil.rmtree(root)

    async def _take(self, root: Path, scenes: Sequence[Scene]) -> "Pictures":
        environ = {"CLEVERAGENTS_HOME": str(root), "CLEVERAGENTS_NO_AUTOSTART": "1"}
        found = paths.resolve(environ)
        found.create()
        world = self.stage(root)
        app = Dashboard(found, environ, clock=lambda: NOW, **self.settings)
        app.animation_level = "none"
        with ScriptedDaemon(found.socket, world.answer) as daemon:
            async with app.run_test(size=self.size, notifications=True) as pilot:
                guest = Guest(app, pilot, daemon, world)
                await guest.until(lambda: app.pulse.link.status is Status.UP)
                return {scene.name: await _picture(guest, scene) for scene in scenes}


Pictures = Mapping[str, str | AssertionError]
"""What was seen, by the names of the scenes."""


async def _picture(guest: Guest, scene: Scene) -> str | AssertionError:
    try:
        await guest.begin_anew()
        await scene.play(guest)
        await guest.settle()
        assert not guest.daemon.broken, guest.daemon.broken
    except AssertionError as failed:
        return failed
    return guest.app.export_screenshot(title=guest.app.title, simplify=True)


@dataclass(frozen=True)
class Shot:
    """A scene of a tour: what one picture shows."""

    tour: Tour
    scene: Scene

    @property
    def name(self) -> str:
        """Of the picture."""
        width, height = self.tour.size
        return "-".join(part for part in (self.scene.name, self.tour.name, f"{width}x{height}") if part)


def shots(*tours: Tour) -> list[Shot]:
    """All pictures of some tours."""
    return [Shot(tour, scene) for tour in tours for scene in tour.own_scenes]


@dataclass
class Tours:
    """The tours of a run, each made when its first picture is asked for.

    Attributes:
        wanted: The scenes that are asked for of each tour, by its name and its size; the others are left out.
    """

    wanted: Mapping[tuple[str, Size], Sequence[Scene]]
    _taken: dict[tuple[str, Size], Pictures] = field(default_factory=dict[tuple[str, Size], Pictures])

    def picture(self, tour: Tour, scene: Scene) -> str:
        """A picture.

        Raises:
            AssertionError: the scene did not go as it should.
        """
        key = (tour.name, tour.size)
        if key not in self._taken:
            self._taken[key] = tour.take(self.wanted[key])
        found = self._taken[key][scene.name]
        if isinstance(found, AssertionError):
            raise found
        return found


def in_theme(name: str, play: Play) -> Play:
    """The same in another theme."""

    async def themed(guest: Guest) -> None:
        guest.app.theme = name
        await play(guest)

    return themed
