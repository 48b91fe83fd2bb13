"""Any sequence of lock calls against a small model of what a lease is, and of a queue for it."""

import asyncio
import itertools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from daemon.feed import Feed
from daemon.locking import LockService, Resource
from store import errors, locks
from store.clock import SECOND
from store.records import Lock
from tests.stores import SettableClock, Store

OWNERS = st.sampled_from(["a", "b", "c"])
RESOURCES = st.sampled_from([("plan", "1"), ("project", "1"), ("project", "2"), ("file", "x:y"), ("user", "1")])
TTLS = st.one_of(st.sampled_from([5.0, 60.0, 3600.0]), st.floats(5, 3600))


class Held(NamedTuple):
    owner: str
    expires_at: int
    boot: str
    fence: int


class LockModel(RuleBasedStateMachine):
    """What is held is what the model says; no fence is ever given twice."""

    taken: Bundle[Lock] = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = SettableClock()
        self.store = Store(Path(self.directory.name), self.clock)
        self.held: dict[tuple[str, str], Held] = {}
        self.fences: set[int] = set()
        self.boots = itertools.count(2)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @initialize()
    def nothing_is_held(self) -> None:
        assert locks.all_locks(self.store.read) == []

    def live(self, resource: tuple[str, str]) -> Held | None:
        held = self.held.get(resource)
        alive = held is not None and self.clock.steady() < held.expires_at and held.boot == self.clock.boot
        return held if alive else None

    def note(self, lock: Lock) -> None:
        resource = (lock.resource_type, lock.resource_id)
        before = self.live(resource)
        if before is None:
            assert lock.fence not in self.fences
            assert lock.fence > max(self.fences, default=0)
        else:
            assert lock.fence == before.fence
        self.fences.add(lock.fence)
        self.held[resource] = Held(lock.owner_id, lock.expires_at, lock.boot_id, lock.fence)

    @rule(target=taken, resource=RESOURCES, owner=OWNERS, ttl=TTLS)
    def acquire(self, resource: tuple[str, str], owner: str, ttl: float) -> Lock:
        before = self.live(resource)
        try:
            lock = self.store.write(lambda tx: locks.acquire(tx, *resource, owner, ttl))
        except errors.LockConflictError as error:
            holder = error.detail["holder"]
            assert before is not None
            assert before.owner != owner
            assert holder == before.owner
            return Lock(*resource, owner, 0, 0, "", 0)
        assert before is None or before.owner == owner
        assert lock.expires_at == self.clock.steady() + int(ttl * SECOND)
        self.note(lock)
        return lock

    @rule(resources=st.lists(RESOURCES, min_size=1, max_size=4), owner=OWNERS)
    def acquire_several(self, resources: list[tuple[str, str]], owner: str) -> None:
        """All of them, or nothing is changed."""
        refused = any((held := self.live(one)) is not None and held.owner != owner for one in resources)
        before = self.store.dump()
        try:
            found = self.store.write(lambda tx: locks.acquire_all(tx, resources, owner, 60))
        except errors.LockConflictError:
            assert refused
            assert self.store.dump() == before
            return
        assert not refused
        assert [(lock.resource_type, lock.resource_id) for lock in found] == sorted(set(resources))
        for lock in found:
            self.note(lock)

    @rule(resource=RESOURCES, owner=OWNERS, ttl=st.one_of(st.floats(max_value=4.99), st.floats(min_value=3600.01)))
    def acquire_for_a_wrong_time(self, resource: tuple[str, str], owner: str, ttl: float) -> None:
        before = self.store.dump()
        try:
            self.store.write(lambda tx: locks.acquire(tx, *resource, owner, ttl))
        except errors.InvalidTtlError:
            assert self.store.dump() == before
        else:
            raise AssertionError(ttl)

    def is_current(self, lock: Lock) -> bool:
        held = self.held.get((lock.resource_type, lock.resource_id))
        return held is not None and (held.owner, held.fence) == (lock.owner_id, lock.fence)

    @rule(lock=taken, ttl=TTLS)
    def renew(self, lock: Lock, ttl: float) -> None:
        good = self.is_current(lock) and self.live((lock.resource_type, lock.resource_id)) is not None
        try:
            renewed = self.store.write(lambda tx: locks.renew(tx, lock, ttl))
        except errors.LockExpiredError:
            assert not good
            return
        assert good
        self.note(renewed)

    @rule(lock=taken)
    def check_fence(self, lock: Lock) -> None:
        """A writer passes exactly while its own acquisition is the last one."""
        good = self.is_current(lock)
        try:
            self.store.write(lambda tx: locks.check(tx, lock))
        except errors.LockExpiredError:
            assert not good
        else:
            assert good

    @rule(lock=taken)
    def release(self, lock: Lock) -> None:
        good = self.is_current(lock)
        before = self.store.dump()
        try:
            self.store.write(lambda tx: locks.release(tx, lock))
        except errors.LockExpiredError:
            assert not good
            assert self.store.dump() == before
            return
        assert good
        del self.held[lock.resource_type, lock.resource_id]

    @rule(owner=OWNERS)
    def release_all(self, owner: str) -> None:
        mine = [resource for resource, held in self.held.items() if held.owner == owner]
        assert self.store.write(lambda tx: locks.release_all_for_owner(tx, owner)) == len(mine)
        for resource in mine:
            del self.held[resource]

    @rule(owner=OWNERS, ttl=TTLS)
    def keep_all(self, owner: str, ttl: float) -> None:
        """What nobody took over, run out or not."""
        mine = [resource for resource, held in self.held.items() if held.owner == owner]
        assert self.store.write(lambda tx: locks.keep_all_for_owner(tx, owner, ttl)) == len(mine)
        for resource in mine:
            self.held[resource] = self.held[resource]._replace(expires_at=self.clock.steady() + int(ttl * SECOND))

    @rule()
    def clean_up(self) -> None:
        stale = [resource for resource in self.held if self.live(resource) is None]
        assert len(locks.stale(self.store.read)) == len(stale)
        assert len(self.store.write(locks.cleanup_expired)) == len(stale)
        for resource in stale:
            del self.held[resource]

    @rule(seconds=st.one_of(st.sampled_from([1.0, 5.0, 60.0, 3600.0]), st.floats(0, 10_000)))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.floats(0, 10**6))
    def machine_sleeps(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @rule(seconds=st.integers(-(10**8), 10**8))
    def clock_is_set(self, seconds: int) -> None:
        self.clock.set(seconds)

    @rule()
    def machine_boots(self) -> None:
        self.clock.boot = f"boot-{next(self.boots)}"

    @invariant()
    def the_table_is_the_model(self) -> None:
        found = {
            (lock.resource_type, lock.resource_id): Held(lock.owner_id, lock.expires_at, lock.boot_id, lock.fence)
            for lock in locks.all_locks(self.store.read)
        }
        assert found == self.held


LockModel.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None, derandomize=True)
TestLocks = LockModel.TestCase


QUEUES = st.sampled_from([Resource("user", "1"), Resource("user", "2")])
BOUND = 20.0
"""Seconds that nobody waits when the program is right."""


class Waiter(NamedTuple):
    owner: str
    task: "asyncio.Task[Lock]"


class QueueModel(RuleBasedStateMachine):
    """Whoever waits gets the lock in the order of arrival, unless they leave; nobody else gets it meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.directory.name), SettableClock())
        feed = Feed()
        self.store.db.on_commit = feed.publish
        self.service = LockService(self.store.db, feed)
        self.holders: dict[Resource, str] = {}
        self.queues: dict[Resource, list[Waiter]] = {}
        self.fences = [0]
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        for waiter in itertools.chain.from_iterable(self.queues.values()):
            self.give_up(waiter)
        self.store.close()
        self.directory.cleanup()

    def run(self, task: "asyncio.Task[Any]") -> Any:
        return self.store.loop.run_until_complete(asyncio.wait_for(task, BOUND))

    def give_up(self, waiter: Waiter) -> None:
        waiter.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            self.run(waiter.task)

    def start(self, resource: Resource, owner: str, wait: float) -> "asyncio.Task[Lock]":
        return self.store.loop.create_task(self.service.acquire(resource, owner, 60, wait=wait))

    def note(self, resource: Resource, lock: Lock) -> None:
        assert lock.fence > self.fences[-1]
        self.fences.append(lock.fence)
        self.holders[resource] = lock.owner_id

    def settle(self) -> None:
        """Let everything happen that happens by itself: behind these commits are those that were asked for before."""
        for _ in range(5):
            self.store.write(lambda tx: tx.now)

    @rule(resource=QUEUES)
    def arrive(self, resource: Resource) -> None:
        owner = f"o{next(self.numbers)}"
        task = self.start(resource, owner, 3600)
        if resource in self.holders:
            self.queues.setdefault(resource, []).append(Waiter(owner, task))
            self.settle()
            assert not task.done()
        else:
            self.note(resource, self.run(task))

    @rule(resource=QUEUES)
    def try_without_waiting(self, resource: Resource) -> None:
        task = self.start(resource, f"o{next(self.numbers)}", 0)
        if resource not in self.holders:
            self.note(resource, self.run(task))
            return
        with pytest.raises(errors.LockConflictError) as caught:
            self.run(task)
        assert caught.value.detail["holder"] == self.holders[resource]

    @rule(resource=QUEUES)
    def acquire_again(self, resource: Resource) -> None:
        """Its owner does not wait behind those who wait for it."""
        if resource in self.holders:
            assert self.run(self.start(resource, self.holders[resource], 3600)).fence in self.fences

    @rule(resource=QUEUES)
    def release(self, resource: Resource) -> None:
        if resource not in self.holders:
            return
        owner, queue = self.holders.pop(resource), self.queues.get(resource, [])
        self.run(self.store.loop.create_task(self.service.release(resource, owner)))
        if queue:
            first = queue.pop(0)
            self.note(resource, self.run(first.task))
            self.settle()
        assert not any(waiter.task.done() for waiter in queue)

    @rule(resource=QUEUES, place=st.integers(0, 5))
    def leave(self, resource: Resource, place: int) -> None:
        queue = self.queues.get(resource, [])
        if place < len(queue):
            self.give_up(queue.pop(place))

    @invariant()
    def the_table_is_the_model(self) -> None:
        assert {
            Resource(lock.resource_type, lock.resource_id): lock.owner_id for lock in self.service.list()
        } == self.holders


QueueModel.TestCase.settings = settings(max_examples=10, stateful_step_count=25, deadline=None, derandomize=True)
TestQueues = QueueModel.TestCase
