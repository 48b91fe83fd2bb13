"""The machine loses power, or the disk fails, at any write: what was acknowledged is there, and nothing is half there."""

import contextlib
import itertools
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from store import errors, jobs, locks, names, opening, plans
from store.database import Reader, Transaction
from store.states import AsyncJobStatus, Phase
from tests import vfs
from tests.stores import SettableClock, Store, new_plan, opened

pytestmark = pytest.mark.timeout(180)

Work = Callable[[Transaction], Any]
Rows = list[tuple[Any, ...]]


def dump(db: Reader) -> Rows:
    """Every row of every table but the mark of a clean end."""
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'meta' ORDER BY name")
    return [(table, *row) for (table,) in tables for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]


class Ledger:
    """What the store may hold: the state after each change, and which was the last that was acknowledged."""

    def __init__(self, rows: Rows) -> None:
        self.states = [rows]
        self.acknowledged = 0

    def noting(self, work: Work) -> Work:
        def noted(tx: Transaction) -> int:
            work(tx)
            self.states.append(dump(tx))
            return len(self.states) - 1

        return noted

    def write(self, store: Store, *works: Work) -> list[BaseException]:
        """Make changes at the same time; the errors of those that were not made."""
        failed: list[BaseException] = []
        for result in store.together(map(self.noting, works)):
            if isinstance(result, int):
                self.acknowledged = max(self.acknowledged, result)
            else:
                failed.append(result)
        return failed

    def check(self, store: Store) -> None:
        """Every acknowledged change is there; what was not acknowledged is there whole, or not at all."""
        assert store.read.scalar("PRAGMA integrity_check") == "ok"
        assert dump(store.read) in self.states[self.acknowledged :]


def make_plan(tx: Transaction) -> None:
    plan = new_plan(f"p{names.new_ulid(tx.now)}", now=tx.now)
    plans.insert(tx, plan, [])
    jobs.enqueue(tx, plan, Phase.STRATEGIZE, names.new_ulid(tx.now), timeout_s=0, payload={})


def claim(tx: Transaction) -> None:
    jobs.claim(tx, "worker-1", execute_limit=4)


def finish(tx: Transaction) -> None:
    for job in jobs.running(tx)[:1]:
        jobs.move(tx, job, AsyncJobStatus.SUCCEEDED)


def cancel(tx: Transaction) -> None:
    for job in jobs.latest(tx, limit=1):
        jobs.cancel(tx, job, "enough")


def lock(tx: Transaction) -> None:
    locks.acquire_all(tx, [("project", "a"), ("user", "b")], "me@here", 60)


def unlock(tx: Transaction) -> None:
    locks.release_all_for_owner(tx, "me@here")


def much(tx: Transaction) -> None:
    tx.event("much", text="x" * 30_000)


def forget(tx: Transaction) -> None:
    tx.execute("DELETE FROM events WHERE seq < (SELECT max(seq) FROM events)")


WORKS: list[Work] = [make_plan, claim, finish, cancel, lock, unlock, much, forget]


def hurry(store: Store) -> None:
    """Let changes reach the log before their commit, and the log the store every few pages; else it takes a thousand."""
    for pragma in ("cache_size = 10", "wal_autocheckpoint = 8"):
        store.write(lambda tx, pragma=pragma: tx.execute(f"PRAGMA {pragma}"))


class Machine(RuleBasedStateMachine):
    """A store on a disk that loses power again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.numbers = itertools.count()
        self.clock = SettableClock()
        self.stack = contextlib.ExitStack()
        self.open(self.fresh())
        self.ledger = Ledger(dump(self.store.read))

    def fresh(self) -> Path:
        directory = Path(self.place.name) / str(next(self.numbers))
        directory.mkdir()
        return directory

    def open(self, directory: Path) -> None:
        self.disk = self.stack.enter_context(vfs.losing_disk(directory))
        self.store = Store(directory, self.clock)
        hurry(self.store)

    def close(self) -> None:
        if not self.store.loop.is_closed():
            self.store.close()

    def teardown(self) -> None:
        self.close()
        self.stack.close()
        self.place.cleanup()

    @rule(works=st.lists(st.sampled_from(WORKS), min_size=1, max_size=4))
    def change(self, works: list[Work]) -> None:
        assert self.ledger.write(self.store, *works) == []
        self.ledger.check(self.store)

    @rule()
    def end_and_begin(self) -> None:
        self.close()
        self.store = Store(self.disk.directory, self.clock)
        hurry(self.store)
        self.ledger.check(self.store)

    @rule(
        works=st.lists(st.sampled_from(WORKS), max_size=6),
        number=st.integers(1, 40),
        seed=st.integers(0, 2**32),
        together=st.booleans(),
        closing=st.booleans(),
    )
    def lose_power(self, works: list[Work], number: int, seed: int, *, together: bool, closing: bool) -> None:
        self.disk.cut_at(number)
        for some in [works] if together else [[work] for work in works]:
            assert all(isinstance(error, errors.CleverAgentsError) for error in self.ledger.write(self.store, *some))
        if closing:
            self.close()
        survivors = self.fresh()
        self.disk.power_cut(survivors, random.Random(seed))
        self.close()
        self.stack.close()
        self.open(survivors)
        self.ledger.check(self.store)
        self.ledger = Ledger(dump(self.store.read))


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=10, deadline=None, derandomize=True)
TestPowerLoss = Machine.TestCase


def live(disk: vfs.Disk, ledger: Ledger, clock: SettableClock) -> None:
    """A short life of a store: opened if the disk lets it, changed, checkpointed, closed."""
    try:
        store = Store(disk.directory, clock)
    except errors.CleverAgentsError:
        return
    try:
        with contextlib.suppress(errors.CleverAgentsError):
            hurry(store)
        for works in ([make_plan, claim], [much, lock], [finish], [make_plan]):
            for error in ledger.write(store, *works):
                assert isinstance(error, errors.CleverAgentsError)
                assert "savepoint" not in error.message
    finally:
        store.close()


FAULTS: list[tuple[vfs.Operation, int | None]] = [
    ("open", None),
    ("read", None),
    ("write", None),
    ("write", apsw.SQLITE_FULL),
    ("sync", None),
    ("truncate", None),
    ("delete", None),
]


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize(
    ("operation", "code"), FAULTS, ids=["open", "read", "write", "full", "sync", "truncate", "delete"]
)
def test_whatever_operation_fails_nothing_acknowledged_is_lost(
    tmp_path: Path, operation: vfs.Operation, code: int | None, *, lasting: bool
) -> None:
    """Each Nth one, in the life of a store that is there already: the asker gets an error, or has his change."""
    clock, base = SettableClock(), tmp_path / "base"
    base.mkdir()
    with opened(base, clock) as store:
        store.write(make_plan)
        rows = dump(store.read)
    for number in itertools.count(1):
        ledger, directory, survivors = Ledger(rows), tmp_path / f"{number}", tmp_path / f"{number}-after"
        shutil.copytree(base, directory)
        survivors.mkdir()
        with vfs.losing_disk(directory) as disk:
            disk.fail_at(operation, number, code, lasting=lasting)
            live(disk, ledger, clock)
            disk.power_cut(survivors, random.Random(number))
        # a fault that lasts is one that ends with the machine
        reopened(survivors if lasting else directory, clock, ledger)
        if disk.passed.count(operation) < number:
            break


def reopened(directory: Path, clock: SettableClock, ledger: Ledger) -> None:
    store = Store(directory, clock)
    try:
        ledger.check(store)
        store.write(make_plan)
    finally:
        store.close()


def steps(directory: Path) -> Path:
    """The real migrations, and two after them."""
    shutil.copytree(opening.MIGRATIONS, directory)
    known = len(list(directory.glob("*.sql")))
    texts = ["CREATE TABLE more (x TEXT NOT NULL) STRICT", "INSERT INTO more SELECT name FROM plans"]
    for number, text in enumerate(texts, start=known + 1):
        (directory / f"{number:04d}_more.sql").write_text(text)
    return directory


@pytest.mark.parametrize("migrating", [False, True], ids=["creation", "migration"])
def test_power_lost_while_a_store_is_made_or_migrated(tmp_path: Path, *, migrating: bool) -> None:
    """At each change of the disk: there is no store, or the old one, or the new one; never a part of one."""
    clock, migrations = SettableClock(), steps(tmp_path / "m")
    for number in itertools.count(1):
        directory, survivors = tmp_path / f"{number}", tmp_path / f"{number}-after"
        directory.mkdir()
        survivors.mkdir()
        with vfs.losing_disk(directory) as disk:
            if migrating:
                add_plans(directory, clock)
            disk.cut_at(number)
            cut = False
            try:
                Store(directory, clock, migrations=migrations).close()
            except errors.CleverAgentsError:
                cut = True
            disk.power_cut(survivors, random.Random(number))
        check_migration(survivors, clock, migrations, count=20 if migrating else 0)
        if not cut:
            break


def add_plans(directory: Path, clock: SettableClock) -> None:
    with opened(directory, clock) as store:
        store.together([make_plan] * 20)


def check_migration(directory: Path, clock: SettableClock, migrations: Path, *, count: int) -> None:
    with opened(directory, clock, migrations=migrations) as store:
        assert store.read.scalar("PRAGMA integrity_check") == "ok"
        assert store.read.scalar("SELECT count(*) FROM plans") == count
        assert store.read.scalar("SELECT count(*) FROM more") == count
