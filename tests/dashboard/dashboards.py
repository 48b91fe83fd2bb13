"""A dashboard in front of a real daemon, driven by a pilot."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from textual.pilot import Pilot

from cleveragents_tui import verbs
from cleveragents_tui.dashboard.app import Dashboard
from cleveragents_tui.dashboard.link import Status
from store import paths
from tests.homes import Home

T = TypeVar("T")
PAUSE = 0.02
SIZE = (120, 40)


class Seat:
    """Somebody who sits in front of a dashboard."""

    def __init__(self, app: Dashboard, pilot: "Pilot[None]") -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], T], *, seconds: float = 20) -> T:
        """The first true value of `condition`; fails, with what the screen shows, when there is none in time."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (value := condition()):
            assert asyncio.get_running_loop().time() < deadline, (
                f"not within {seconds} s; the screen shows\n{self.text()}"
            )
            await self.pilot.pause(PAUSE)
        return value

    async def sees(self, *texts: str) -> None:
        """Wait until all of `texts` are on the screen."""
        await self.until(lambda: all(text in self.text() for text in texts))

    def offers(self, verb: str) -> bool:
        """Whether a verb can be done now."""
        return self.app.offers(verbs.VERBS[verb])

    def dialog(self) -> str:
        """What is in the dialog on top, without what shines through around it, in one line."""
        box = self.app.screen.query(".dialog, .form").first().region
        lines = self.text().splitlines()[box.y + 1 : box.bottom - 1]
        return " ".join(" ".join(line[box.x + 1 : box.right - 1] for line in lines).split())

    def text(self) -> str:
        """What is on the screen, line by line."""
        lines = self.app.screen._compositor.render_strips()  # pyright: ignore[reportPrivateUsage]  what is painted, without its colours
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)


@asynccontextmanager
async def opened(home: Home, *, size: tuple[int, int] = SIZE, up: bool = True, **settings: Any) -> AsyncGenerator[Seat]:
    """A dashboard of a home, connected to its daemon unless it is not to be `up`."""
    environ = home.environ
    app = Dashboard(paths.resolve(environ), environ, **settings)
    async with app.run_test(size=size, notifications=True) as pilot:
        seat = Seat(app, pilot)
        await seat.until(lambda: app.pulse.link.status is (Status.UP if up else Status.GONE))
        yield seat


def sit(home: Home, play: Callable[[Seat], Awaitable[None]], **settings: Any) -> None:
    """Play a scene in front of a dashboard of a home."""

    async def scene() -> None:
        async with opened(home, **settings) as seat:
            await play(seat)

    asyncio.run(scene())
