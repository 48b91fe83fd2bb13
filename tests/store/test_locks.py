"""Locks: leases with an owner, an expiry and a fence that only grows."""

from pathlib import Path

import pytest

from store import errors, jobs, locks, names
from store.clock import SECOND, rfc3339
from store.records import Lock
from store.states import Phase
from tests.stores import START, SettableClock, Store, add_plan, opened

YEAR = 365 * 86_400.0


def acquire(store: Store, owner: str, resource: str = "R", ttl: float = 300, kind: str = "user") -> Lock:
    return store.write(lambda tx: locks.acquire(tx, kind, resource, owner, ttl))


def test_a_free_resource_is_acquired(store: Store) -> None:
    lock = acquire(store, "a", ttl=60)

    assert (lock.owner_id, lock.acquired_at, lock.expires_at) == ("a", START, START + 60 * SECOND)
    assert (lock.resource, lock.boot_id) == ("user:R", "boot-1")
    assert locks.get(store.read, "user", "R") == lock


def test_the_same_owner_keeps_its_fence_and_gets_a_later_expiry(store: Store, clock: SettableClock) -> None:
    first = acquire(store, "a", ttl=60)
    clock.advance(10)
    second = acquire(store, "a", ttl=60)

    assert (second.fence, second.acquired_at) == (first.fence, first.acquired_at)
    assert second.expires_at == first.expires_at + 10 * SECOND


def test_another_owner_is_refused_with_holder_and_expiry(store: Store) -> None:
    held = acquire(store, "a", ttl=60)

    with pytest.raises(errors.LockConflictError) as caught:
        acquire(store, "b")

    assert caught.value.detail["holder"] == "a"
    assert caught.value.detail["expires_at"] == rfc3339(held.expires_at)
    assert "a" in caught.value.message
    assert str(rfc3339(held.expires_at)) in caught.value.message
    assert locks.get(store.read, "user", "R") == held


@pytest.mark.parametrize(("seconds", "taken"), [(59.999999, False), (60.0, True), (61.0, True)])
def test_a_lock_is_expired_when_now_has_reached_its_expiry(
    store: Store, clock: SettableClock, seconds: float, *, taken: bool
) -> None:
    first = acquire(store, "a", ttl=60)
    clock.advance(seconds)

    if not taken:
        with pytest.raises(errors.LockConflictError):
            acquire(store, "b")
        return
    second = acquire(store, "b")
    assert second.owner_id == "b"
    assert second.fence > first.fence


def test_an_expired_lock_is_new_even_for_its_own_owner(store: Store, clock: SettableClock) -> None:
    """Somebody else may have had it in between, so the old fence must not count any more."""
    first = acquire(store, "a", ttl=60)
    clock.advance(60)
    second = acquire(store, "a", ttl=60)

    assert second.fence > first.fence
    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.check(tx, first))


def test_a_lock_of_an_earlier_boot_is_free(store: Store, clock: SettableClock) -> None:
    first = acquire(store, "a", ttl=3600)
    clock.boot = "boot-2"
    assert locks.stale(store.read) == [first]

    second = acquire(store, "b")
    assert second.fence > first.fence


@pytest.mark.parametrize("ttl", [4.999, 0, -1, 3600.001, 10**9, float("inf"), float("nan")])
def test_a_time_to_live_out_of_range_is_refused_not_clamped(store: Store, ttl: float) -> None:
    with pytest.raises(errors.InvalidTtlError) as caught:
        acquire(store, "a", ttl=ttl)

    assert caught.value.code == "invalid_ttl"
    assert locks.all_locks(store.read) == []


@pytest.mark.parametrize("ttl", [5, 3600])
def test_the_limits_themselves_are_allowed(store: Store, ttl: float) -> None:
    assert acquire(store, "a", ttl=ttl).expires_at == START + int(ttl * SECOND)


def test_renewing_with_a_wrong_time_changes_nothing(store: Store) -> None:
    lock = acquire(store, "a", ttl=60)
    with pytest.raises(errors.InvalidTtlError):
        store.write(lambda tx: locks.renew(tx, lock, 4))

    assert locks.all_locks(store.read) == [lock]


def test_renew_extends_from_now(store: Store, clock: SettableClock) -> None:
    lock = acquire(store, "a", ttl=60)
    clock.advance(30)

    renewed = store.write(lambda tx: locks.renew(tx, lock, 100))
    assert renewed.expires_at == clock.now() + 100 * SECOND
    assert renewed.fence == lock.fence


def test_renew_refuses_what_expired_was_taken_or_released(store: Store, clock: SettableClock) -> None:
    lock = acquire(store, "a", ttl=60)
    clock.advance(60)
    with pytest.raises(errors.LockExpiredError, match="expired"):
        store.write(lambda tx: locks.renew(tx, lock, 60))
    taken = acquire(store, "b", ttl=60)
    with pytest.raises(errors.LockExpiredError, match="no longer held"):
        store.write(lambda tx: locks.renew(tx, lock, 60))
    store.write(lambda tx: locks.release(tx, taken))
    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.renew(tx, taken, 60))


def test_release_by_a_stale_owner_changes_nothing(store: Store, clock: SettableClock) -> None:
    """The holder that was stopped past its expiry cannot give away what is another's now."""
    old = acquire(store, "a", ttl=60)
    clock.advance(60)
    new = acquire(store, "b", ttl=60)

    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.release(tx, old))
    assert locks.all_locks(store.read) == [new]

    mine_again = Lock("user", "R", "a", 0, 0, "boot-1", new.fence)
    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.release(tx, mine_again))
    assert locks.all_locks(store.read) == [new]


def test_a_released_lock_is_free_and_its_fence_is_never_given_again(store: Store) -> None:
    fences: list[int] = []
    for _ in range(5):
        lock = acquire(store, "a")
        fences.append(lock.fence)
        store.write(lambda tx, lock=lock: locks.release(tx, lock))

    assert fences == sorted(set(fences))
    assert locks.all_locks(store.read) == []


def test_what_nobody_holds_is_free(store: Store) -> None:
    """It stays as it was; and no number is given for it."""
    store.write(lambda tx: locks.free(tx, "user", "R"))

    assert locks.all_locks(store.read) == []
    assert acquire(store, "a").fence == 1


def test_what_somebody_holds_is_not_free(store: Store) -> None:
    held = acquire(store, "a", ttl=60)

    with pytest.raises(errors.LockConflictError) as caught:
        store.write(lambda tx: locks.free(tx, "user", "R"))

    assert caught.value.detail["holder"] == "a"
    assert locks.get(store.read, "user", "R") == held


def test_what_ran_out_is_over_once_it_was_found_free(store: Store, clock: SettableClock) -> None:
    """Its holder comes too late from then on."""
    late = acquire(store, "a", ttl=60)
    clock.advance(60)
    store.write(lambda tx: locks.free(tx, "user", "R"))

    assert locks.get(store.read, "user", "R") is None
    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.check(tx, late))


def test_several_are_taken_all_or_none(store: Store) -> None:
    acquire(store, "b", "m", kind="project")
    wanted = [("project", "z"), ("project", "a"), ("project", "m")]

    with pytest.raises(errors.LockConflictError):
        store.write(lambda tx: locks.acquire_all(tx, wanted, "a"))

    assert [lock.resource_id for lock in locks.all_locks(store.read)] == ["m"]


def test_several_are_taken_in_sorted_order_and_once_each(store: Store) -> None:
    wanted = [("project", "z"), ("file", "q"), ("project", "a"), ("project", "z")]

    taken = store.write(lambda tx: locks.acquire_all(tx, wanted, "a"))

    assert [lock.resource for lock in taken] == ["file:q", "project:a", "project:z"]
    assert [lock.fence for lock in taken] == sorted(lock.fence for lock in taken)


def test_all_of_an_owner_are_released_and_no_other(store: Store) -> None:
    for resource in ("1", "2", "3"):
        acquire(store, "a", resource)
    other = acquire(store, "b", "4")

    assert store.write(lambda tx: locks.release_all_for_owner(tx, "a")) == 3
    assert store.write(lambda tx: locks.release_all_for_owner(tx, "a")) == 0
    assert locks.all_locks(store.read) == [other]


def test_cleaning_up_removes_the_stale_only(store: Store, clock: SettableClock) -> None:
    acquire(store, "a", "1", ttl=5)
    acquire(store, "a", "2", ttl=60)
    clock.advance(5)
    assert [lock.resource_id for lock in locks.stale(store.read)] == ["1"]

    assert [lock.resource_id for lock in store.write(locks.cleanup_expired)] == ["1"]
    assert [lock.resource_id for lock in locks.all_locks(store.read)] == ["2"]
    assert locks.stale(store.read) == []


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_wall_clock_that_is_set_changes_no_lease(store: Store, clock: SettableClock, jump: float) -> None:
    """It is held for as long as it was, and then free; the message tells its end by the clock as it now stands."""
    first = acquire(store, "a", ttl=60)
    clock.set(jump)
    clock.advance(59)
    with pytest.raises(errors.LockConflictError) as caught:
        acquire(store, "b")
    assert caught.value.detail["expires_at"] == rfc3339(clock.now() + SECOND)

    clock.advance(1)
    assert acquire(store, "b").fence > first.fence


def test_a_lease_does_not_run_out_while_the_machine_sleeps(store: Store, clock: SettableClock) -> None:
    first = acquire(store, "a", ttl=60)
    clock.sleep(8 * 3600)

    with pytest.raises(errors.LockConflictError):
        acquire(store, "b")
    assert store.write(lambda tx: locks.renew(tx, first, 60)).fence == first.fence


def test_a_holder_that_was_stopped_keeps_what_nobody_took(store: Store, clock: SettableClock) -> None:
    """Its lease ran out: it cannot be renewed as one that is held, but the fence still holds, and it can be kept."""
    lock = acquire(store, "a", ttl=60)
    clock.advance(3600)

    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.renew(tx, lock, 60))
    assert store.write(lambda tx: locks.check(tx, lock)).fence == lock.fence
    assert store.write(lambda tx: locks.keep_all_for_owner(tx, "a", 60)) == 1
    with pytest.raises(errors.LockConflictError):
        acquire(store, "b")
    assert store.write(lambda tx: locks.renew(tx, lock, 60)).fence == lock.fence


def test_a_holder_whose_lock_was_taken_over_gets_nothing_back(store: Store, clock: SettableClock) -> None:
    lock = acquire(store, "a", ttl=60)
    clock.advance(60)
    taken = acquire(store, "b", ttl=60)

    assert store.write(lambda tx: locks.keep_all_for_owner(tx, "a", 60)) == 0
    with pytest.raises(errors.LockExpiredError):
        store.write(lambda tx: locks.check(tx, lock))
    assert locks.all_locks(store.read) == [taken]


def test_every_daemon_of_a_boot_has_the_same_time_line(tmp_path: Path) -> None:
    """A lease outlives the daemon and a clock that was set in between; a new boot begins a line of its own."""
    with opened(tmp_path, SettableClock()) as first:
        lock = acquire(first, "a", ttl=60)
    later = SettableClock()
    later.advance(10)
    later.set(YEAR)
    later.origin = later.now() - later.awake()
    with opened(tmp_path, later) as second:
        assert later.steady() == lock.acquired_at + 10 * SECOND
        assert not locks.all_locks(second.read)[0].stale(later)
    rebooted = SettableClock()
    rebooted.boot = "boot-2"
    rebooted.set(3600)
    rebooted.origin = rebooted.now() - rebooted.awake()
    with opened(tmp_path, rebooted) as third:
        assert rebooted.steady() == rebooted.now()
        assert locks.all_locks(third.read)[0].stale(rebooted)


def test_the_fence_is_checked_against_owner_and_number(store: Store) -> None:
    lock = acquire(store, "a")
    other = Lock("user", "R", "b", lock.acquired_at, lock.expires_at, lock.boot_id, lock.fence)
    older = Lock("user", "R", "a", lock.acquired_at, lock.expires_at, lock.boot_id, lock.fence - 1)

    assert store.write(lambda tx: locks.check(tx, lock)) == lock
    for wrong in (other, older):
        with pytest.raises(errors.LockExpiredError):
            store.write(lambda tx, wrong=wrong: locks.check(tx, wrong))


def test_cleaning_up_leaves_a_running_job_its_lock(store: Store, clock: SettableClock) -> None:
    """Its daemon was stopped for a while, and renews it as soon as it goes on."""
    plan = add_plan(store, "p")
    job_id = names.new_ulid()
    store.write(lambda tx: jobs.enqueue(tx, plan, Phase.STRATEGIZE, job_id, timeout_s=0, payload={}))
    assert store.write(lambda tx: jobs.claim(tx, "w1", execute_limit=1)) is not None
    mine = acquire(store, f"job:{job_id}", plan.plan_id, ttl=5, kind="plan")
    acquire(store, "job:gone", "other", ttl=5, kind="plan")
    clock.advance(60)

    assert [lock.owner_id for lock in store.write(locks.cleanup_expired)] == ["job:gone"]
    assert locks.all_locks(store.read) == [mine]


def test_two_takers_of_one_expired_lock_get_one_owner(store: Store, clock: SettableClock) -> None:
    acquire(store, "old", ttl=5)
    clock.advance(5)

    results = store.together([lambda tx, n=n: locks.acquire(tx, "user", "R", f"o{n}") for n in range(20)])

    winners = [result for result in results if isinstance(result, Lock)]
    assert len(winners) == 1
    assert {type(result) for result in results if not isinstance(result, Lock)} == {errors.LockConflictError}
    assert locks.all_locks(store.read) == winners
