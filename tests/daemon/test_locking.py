"""The lock service: who waits, in which order, and what is left of those who went away."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from daemon.feed import Feed
from daemon.locking import LockService, Resource
from store import errors, events, locks
from tests.stores import SettableClock, Store, opened
from tests.waiting import wait_until_async

T = TypeVar("T")
RESOURCE = Resource("user", "R")
LONG = 20.0
"""Seconds that nobody waits when the program is right."""


class World:
    """A store with its feed, as the daemon has them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.feed = Feed()
        store.db.on_commit = self.feed.publish
        self.service = LockService(store.db, self.feed)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def all_of_it() -> T:
            return await work()

        return self.store.loop.run_until_complete(all_of_it())

    def kinds(self) -> list[str]:
        return [event.kind for event in events.since(self.store.read, 0)]

    def wait_for(self, owner: str, order: list[str]) -> "asyncio.Task[None]":
        """Somebody who waits for the resource, notes that it has it, and gives it back."""

        async def wait() -> None:
            lock = await self.service.acquire(RESOURCE, owner, 60, wait=LONG)
            order.append(owner)
            await self.service.release(RESOURCE, owner, fence=lock.fence)

        return asyncio.ensure_future(wait())


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def world(tmp_path: Path, clock: SettableClock) -> Iterator[World]:
    with opened(tmp_path, clock) as store:
        yield World(store)


def test_a_release_lets_those_who_wait_in_one_after_the_other(world: World) -> None:
    """First come, first served; the clock stands still, so that nothing but the release can wake them."""
    order: list[str] = []
    waiting = [f"w{number}" for number in range(8)]

    async def work() -> None:
        await world.service.acquire(RESOURCE, "first", 60)
        tasks: list[asyncio.Task[None]] = []
        for owner in waiting:
            tasks.append(world.wait_for(owner, order))
            await _refused(world)
        await world.service.release(RESOURCE, "first")
        await asyncio.gather(*tasks)

    world.run(work)

    assert order == waiting
    assert world.kinds() == ["lock.acquired", "lock.released"] * 9


async def _refused(world: World) -> None:
    """Behind this request, one that was made before has had its answer."""
    for _ in range(2):
        with pytest.raises(errors.LockConflictError):
            await world.service.acquire(RESOURCE, "nobody", 60)


def test_whoever_stops_waiting_gets_nothing_and_holds_up_nobody(world: World) -> None:
    """In the queue, at its head, and in the moment of a release."""
    order: list[str] = []

    async def work() -> None:
        await world.service.acquire(RESOURCE, "first", 60)
        tasks = [world.wait_for(owner, order) for owner in ("head", "middle", "last")]
        await _refused(world)
        for task in tasks[:2]:
            task.cancel()
        await world.service.release(RESOURCE, "first")
        await asyncio.gather(*tasks, return_exceptions=True)

    world.run(work)

    assert order == ["last"]
    assert world.service.list() == []


def test_whoever_goes_away_in_the_middle_of_the_commit_leaves_no_lock(world: World) -> None:
    """The lock was given, and nobody is there to hear of it: it is given back."""

    async def work() -> None:
        task = asyncio.ensure_future(world.service.acquire(RESOURCE, "gone", 60))
        await asyncio.sleep(0)  # the request is with the writer now
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(work)

    assert world.service.list() == []
    assert world.kinds() == ["lock.acquired", "lock.released"]


def test_a_lock_that_was_only_extended_stays_when_its_owner_goes_away(world: World) -> None:
    async def work() -> None:
        await world.service.acquire(RESOURCE, "ada", 60)
        task = asyncio.ensure_future(world.service.acquire(RESOURCE, "ada", 60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(work)

    assert [lock.owner_id for lock in world.service.list()] == ["ada"]


def test_a_wait_that_is_over_is_refused_by_who_holds_it_then(world: World, clock: SettableClock) -> None:
    """Also for one who is not at the head of the queue."""

    async def work() -> list[Any]:
        await world.service.acquire(RESOURCE, "first", 60)
        head = asyncio.ensure_future(world.service.acquire(RESOURCE, "head", 60, wait=LONG))
        await _refused(world)
        second = asyncio.ensure_future(world.service.acquire(RESOURCE, "second", 60, wait=0.05))
        refusal = (await asyncio.gather(second, return_exceptions=True))[0]
        head.cancel()
        await asyncio.gather(head, return_exceptions=True)
        return [refusal]

    (refusal,) = world.run(work)

    assert isinstance(refusal, errors.LockConflictError)
    assert refusal.detail["holder"] == "first"


def test_what_the_daemon_gives_back_without_a_word_is_noticed(world: World) -> None:
    """Some of its own work ends without an event: whoever waits looks again."""

    async def work() -> str:
        await world.store.db.write(lambda tx: locks.acquire(tx, *RESOURCE, "prune:1", 3600))
        waiting = asyncio.ensure_future(world.service.acquire(RESOURCE, "ada", 60, wait=LONG))
        await _refused(world)
        await world.store.db.write(lambda tx: locks.release_all_for_owner(tx, "prune:1"))
        return (await waiting).owner_id

    assert world.run(work) == "ada"


def test_the_queue_of_a_resource_is_gone_with_the_last_who_waited(world: World) -> None:
    from daemon import locking  # noqa: PLC0415  the module's own state, for once

    queues = locking._queues  # pyright: ignore[reportPrivateUsage]  as said

    async def work() -> None:
        await world.service.acquire(RESOURCE, "first", 60)
        task = world.wait_for("second", [])
        await wait_until_async(lambda: RESOURCE in queues)
        await world.service.release(RESOURCE, "first")
        await task

    world.run(work)

    assert RESOURCE not in queues


def test_everything_of_one_owner_is_given_back(world: World) -> None:
    async def work() -> int:
        for name in ("a", "b"):
            await world.service.acquire(Resource("user", name), "ada", 60)
        await world.service.acquire(Resource("user", "c"), "bob", 60)
        return await world.service.release_all_for_owner("ada")

    assert world.run(work) == 2
    assert [lock.owner_id for lock in world.service.list()] == ["bob"]
    assert world.kinds() == ["lock.acquired"] * 3 + ["lock.released"] * 2


def test_stale_leases_are_counted_and_cleaned_up(world: World, clock: SettableClock) -> None:
    """Those that ended, and those of an earlier boot; a live one stays."""

    async def work() -> list[str]:
        await world.service.acquire(Resource("user", "ended"), "ada", 5)
        clock.boot = "boot-0"
        await world.service.acquire(Resource("user", "booted"), "ada", 3600)
        clock.boot = "boot-1"
        await world.service.acquire(Resource("user", "held"), "ada", 3600)
        clock.advance(5)
        assert world.service.count_stale_locks() == 2
        return [lock.resource_id for lock in await world.service.cleanup_expired()]

    assert world.run(work) == ["booted", "ended"]
    assert [lock.resource_id for lock in world.service.list()] == ["held"]
    assert world.kinds()[-2:] == ["lock.expired"] * 2
    assert world.service.count_stale_locks() == 0
