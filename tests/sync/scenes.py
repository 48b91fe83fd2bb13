"""The sync of a daemon in a test's process: real store, real configuration, real HTTP, and time in the test's hands."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

from daemon.feed import Feed
from daemon.lifecycle import Lifecycle
from daemon.phases.context import Services
from daemon.settings import Settings
from daemon.sync.pace import Pace
from daemon.sync.syncer import Syncer
from store import config, definitions, entities, events, opening, paths
from store.clock import SECOND, Clock
from store.database import Database, Transaction
from store.records import Event
from tests.sync.scripted import ScriptedServer
from tests.waiting import wait_until_async

HOUR = 3600.0
P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that is asynchronous itself."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class ManualPace(Pace):
    """Time that stands still until the test lets it pass.

    Attributes:
        waits: How long each wait was to be.
    """

    def __init__(self) -> None:
        super().__init__(Clock())
        self.wall = 1_750_000_000 * SECOND
        self.awake = 1000 * SECOND
        self.waits: list[float] = []
        self.stretch = 1.0
        self._waiting: dict[asyncio.Event, tuple[int, asyncio.Event]] = {}

    def now(self) -> int:
        return self.wall

    def steady(self) -> int:
        return self.awake

    def jitter(self, seconds: float) -> float:
        return seconds * self.stretch

    async def wait(self, seconds: float, wake: asyncio.Event) -> None:
        self.waits.append(seconds)
        over = asyncio.Event()
        self._waiting[over] = (self.awake + int(seconds * SECOND), wake)
        tasks = [asyncio.create_task(event.wait()) for event in (over, wake)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            del self._waiting[over]

    def pass_by(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += round(seconds * SECOND)
        self.awake += round(seconds * SECOND)
        for over, (until, _) in self._waiting.items():
            if self.awake >= until:
                over.set()

    @property
    def at_rest(self) -> bool:
        """Whether somebody waits, and nobody who waits has anything to do."""
        return bool(self._waiting) and not any(
            over.is_set() or wake.is_set() or self.awake >= until for over, (until, wake) in self._waiting.items()
        )


class Scene:
    """A daemon's sync and the servers that it may meet."""

    def __init__(self, directory: Path, db: Database) -> None:
        self.db = db
        self.places = paths.resolve({"CLEVERAGENTS_HOME": str(directory)})
        self.places.create()
        self.environ: dict[str, str] = {}
        self.settings = Settings(self.places.config_file, self.environ)
        self.feed = Feed()
        self.services = Services(db, self.feed, Lifecycle(self.settings), self.settings, self.places)
        self.pace = ManualPace()
        self.syncer = Syncer(self.services, self.pace)
        db.on_commit = self.feed.publish

    @property
    def file(self) -> bytes:
        return self.places.config_file.read_bytes()

    def configure(self, **changes: Any) -> None:
        """Write keys of `server.*`, their dots and dashes as underscores, without telling anybody."""
        spelled = {
            f"server.{name.replace('sync_', 'sync.').replace('_', '-')}": value for name, value in changes.items()
        }
        config.edit(self.places.config_file, spelled)

    async def start(self, server: ScriptedServer, **changes: Any) -> None:
        """Start connected to a server; the first run is over when this returns."""
        self.configure(**{"url": server.url, "namespace": server.namespace, **changes})
        await self.syncer.start()
        await self.rest()

    async def rest(self) -> None:
        """Until nothing happens any more by itself."""
        quiet = 0

        def settled() -> bool:
            nonlocal quiet
            timer = self.syncer.timer
            busy = timer is not None and (timer.running or (timer.active and not self.pace.at_rest))
            quiet = 0 if busy else quiet + 1
            return quiet > 2

        await wait_until_async(settled)

    async def after(self, seconds: float) -> None:
        """Let time pass; what is due then is over when this returns."""
        self.pace.pass_by(seconds)
        await self.rest()

    async def add_actor(self, name: str, command: str = "/bin/true") -> None:
        """A definition that is made here, as `ca actor create` does."""
        content = actor(name, command)

        def add(tx: Transaction) -> None:
            definitions.put_actor(tx, f"team/{name}", content, description="")
            entities.changed_here(tx, "actor", f"team/{name}")

        await self.db.write(add)

    async def remove_actor(self, name: str) -> None:
        """What `ca actor remove` does."""

        def remove(tx: Transaction) -> None:
            definitions.remove_actor(tx, f"team/{name}")
            entities.changed_here(tx, "actor", f"team/{name}")

        await self.db.write(remove)

    def actors(self) -> list[str]:
        return [found.name for found in definitions.actors(self.db.read)]

    def events(self, prefix: str) -> list[Event]:
        return [event for event in events.since(self.db.read, 0) if event.kind.startswith(prefix)]

    def kinds(self) -> list[str]:
        return [event.kind for event in events.since(self.db.read, 0)]


def actor(name: str, command: str = "/bin/true") -> str:
    """The content of an actor of the namespace `team`."""
    return f"name: team/{name}\ntype: command\ncommand: [{command}]\n"


@asynccontextmanager
async def scene(directory: Path, *servers: ScriptedServer) -> AsyncGenerator[Scene]:
    """A scene whose servers are up; it ends in order, within a bound."""
    async with AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        db = opening.open_store(directory / "store.db", directory, Clock())
        stack.push_async_callback(db.close)
        made = Scene(directory, db)
        try:
            yield made
        finally:
            async with asyncio.timeout(10):
                await made.syncer.stop()
