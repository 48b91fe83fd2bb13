"""A real store for tests, its clock in the test's hands."""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from store import names, opening, plans
from store.clock import SECOND, Clock
from store.database import Database, Reader, Transaction
from store.records import Plan
from store.states import Phase, State

T = TypeVar("T")

START = 1_750_000_000 * SECOND


class SettableClock(Clock):
    """Stands still unless told to go on."""

    def __init__(self) -> None:
        self.time = START
        self.up = 1000 * SECOND
        self.boot = "boot-1"
        super().__init__()

    def now(self) -> int:
        return self.time

    def awake(self) -> int:
        return self.up

    @property
    def boot_id(self) -> str:
        return self.boot

    def advance(self, seconds: float) -> None:
        """Let time pass while the system is awake."""
        self.time += int(seconds * SECOND)
        self.up += int(seconds * SECOND)

    def sleep(self, seconds: float) -> None:
        """Let time pass while the system sleeps."""
        self.time += int(seconds * SECOND)

    def set(self, seconds: float) -> None:
        """Put the wall clock forward, or back."""
        self.time += int(seconds * SECOND)


class Store:
    """The open store of one directory, for tests that are not asynchronous themselves."""

    def __init__(self, directory: Path, clock: Clock | None = None, *, migrations: Path = opening.MIGRATIONS) -> None:
        self.path = directory / "store.db"
        self.backups = directory / "backups"
        self.backups.mkdir(exist_ok=True)
        self.clock = clock or SettableClock()
        self.loop = asyncio.new_event_loop()
        try:
            self.db: Database = self.loop.run_until_complete(self._open(migrations))
        except BaseException:
            self.loop.close()
            raise

    async def _open(self, migrations: Path) -> Database:
        return opening.open_store(self.path, self.backups, self.clock, migrations=migrations)

    @property
    def read(self) -> Reader:
        return self.db.read

    def write(self, work: Callable[[Transaction], T]) -> T:
        """One change, durable when this returns."""
        return self.loop.run_until_complete(self.db.write(work))

    def together(self, works: Iterable[Callable[[Transaction], Any]]) -> list[Any]:
        """Changes that wait at the same time; for each its result or its error."""

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(self.db.write(work) for work in works), return_exceptions=True)

        return self.loop.run_until_complete(all_of_them())

    def dump(self) -> list[tuple[Any, ...]]:
        """Every row of every table."""
        tables = self.read.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        return [(table, *row) for (table,) in tables for row in self.read.execute(f"SELECT * FROM {table}")]

    def close(self) -> None:
        """The clean end."""
        self.loop.run_until_complete(self.db.close())
        self.loop.close()


@contextlib.contextmanager
def opened(directory: Path, clock: Clock | None = None, *, migrations: Path = opening.MIGRATIONS) -> Generator[Store]:
    """A store that is closed in the end."""
    store = Store(directory, clock, migrations=migrations)
    try:
        yield store
    finally:
        store.close()


def new_plan(name: str, *, now: int = START, **changes: Any) -> Plan:
    """A root plan at strategize/queued with no project."""
    plan_id = names.new_ulid(now)
    plan = Plan(
        plan_id=plan_id, name=name, action="local/work", definition_json="{}", arguments_json="{}",
        phase=Phase.STRATEGIZE, state=State.QUEUED, automation_profile="manual", profile_source="flag", priority=0,
        parent_plan_id=None, root_plan_id=plan_id, depth=0, reversions=0, attempt=0, revision=1, umask=0o022,
        error_json=None, diff_json=None, applied_json=None, job_id=None, created_at=now, updated_at=now,
        started_at=None, finished_at=None,
    )  # fmt: skip
    return msgspec.structs.replace(plan, **changes)


def add_plan(store: Store, name: str, **changes: Any) -> Plan:
    """The same, stored."""
    plan = new_plan(name, now=store.clock.now(), **changes)
    store.write(lambda tx: plans.insert(tx, plan, []))
    return plan
