"""Locks: leases with an owner, an expiry and a fence; each function works inside the caller's transaction.

The times of a lease are on the steady time line (`store.clock`).
"""

from collections.abc import Iterable

import msgspec

from store import errors, rows
from store.clock import SECOND, Clock, rfc3339
from store.database import Reader, Transaction
from store.records import Lock

SHORTEST_TTL = 5
LONGEST_TTL = 3600

_SQL = rows.statements("locks")


def acquire(tx: Transaction, resource_type: str, resource_id: str, owner: str, ttl: float = 300) -> Lock:
    """Take the lease; the same owner again keeps its fence and gets a later expiry; an expired one is taken over.

    Raises:
        InvalidTtlError: `ttl` is outside 5 to 3,600 seconds.
        LockConflictError: somebody else holds it.
    """
    _check_ttl(ttl)
    held = get(tx, resource_type, resource_id)
    if held is not None and not held.stale(tx.clock):
        if held.owner_id == owner:
            return _extended(tx, held, ttl)
        raise conflict(held, tx.clock)
    expires_at = tx.steady + int(ttl * SECOND)
    fence = tx.scalar(_SQL["next_fence"])
    lock = Lock(resource_type, resource_id, owner, tx.steady, expires_at, tx.clock.boot_id, fence)
    tx.execute(_SQL["put"], msgspec.structs.astuple(lock))
    return lock


def acquire_all(tx: Transaction, resources: Iterable[tuple[str, str]], owner: str, ttl: float = 300) -> list[Lock]:
    """All of several resources or, when one is refused and the transaction rolls back, none; in sorted order.

    Raises:
        LockConflictError: somebody else holds one of them.
    """
    return [acquire(tx, kind, name, owner, ttl) for kind, name in sorted(set(resources))]


def free(tx: Transaction, resource_type: str, resource_id: str) -> None:
    """See that nobody holds the resource; a lease that ran out is over from now on.

    Raises:
        LockConflictError: somebody holds it.
    """
    held = get(tx, resource_type, resource_id)
    if held is not None:
        if not held.stale(tx.clock):
            raise conflict(held, tx.clock)
        release(tx, held)


def renew(tx: Transaction, lock: Lock, ttl: float) -> Lock:
    """Extend a lease that is still the owner's.

    Raises:
        LockExpiredError: it expired or was taken.
    """
    _check_ttl(ttl)
    held = check(tx, lock)
    if held.stale(tx.clock):
        raise errors.LockExpiredError(
            f"the lock on {lock.resource} expired at {rfc3339(tx.clock.wall(held.expires_at))}",
            detail={"resource": lock.resource},
        )
    return _extended(tx, held, ttl)


def check(tx: Transaction, lock: Lock) -> Lock:
    """The fence: the lease as it stands, if nobody has it but the one who acquired `lock`.

    A lease that ran out still passes while nobody has taken it over: the one writer of the store would know.

    Raises:
        LockExpiredError: it was released, or somebody else has it.
    """
    held = get(tx, lock.resource_type, lock.resource_id)
    if held is None or held.fence != lock.fence or held.owner_id != lock.owner_id:
        raise errors.LockExpiredError(
            f"the lock on {lock.resource} is no longer held by {lock.owner_id}",
            detail={"resource": lock.resource, "fence": lock.fence, "holder": held.owner_id if held else None},
        )
    return held


def release(tx: Transaction, lock: Lock) -> None:
    """Give the lease back.

    Raises:
        LockExpiredError: it is not the owner's, or of an older fence; nothing changed.
    """
    if tx.scalar(_SQL["release"], _identity(lock)) is None:
        raise errors.LockExpiredError(
            f"the lock on {lock.resource} is not held by {lock.owner_id} with fence {lock.fence}",
            detail={"resource": lock.resource, "fence": lock.fence},
        )


def keep_all_for_owner(tx: Transaction, owner: str, ttl: float) -> int:
    """Extend every lease of `owner`; how many.

    Also those that ran out, if nobody took them over: a daemon that was stopped for a while keeps what it has.
    """
    return len(tx.execute(_SQL["keep_all"], {"owner": owner, "expires_at": tx.steady + int(ttl * SECOND)}))


def release_all_for_owner(tx: Transaction, owner: str) -> int:
    """How many leases `owner` had."""
    return len(tx.execute(_SQL["release_all"], (owner,)))


def cleanup_expired(tx: Transaction) -> list[Lock]:
    """Remove the leases that anybody may take over, but none of a job that runs; returns them."""
    return tx.all(Lock, _SQL["cleanup"], {"now": tx.steady, "boot_id": tx.clock.boot_id})


def stale(db: Reader) -> list[Lock]:
    """Leases that anybody may take over."""
    return db.all(Lock, _SQL["stale"], {"now": db.clock.steady(), "boot_id": db.clock.boot_id})


def get(db: Reader, resource_type: str, resource_id: str) -> Lock | None:
    return db.one(Lock, _SQL["get"], (resource_type, resource_id))


def of_files(db: Reader, project: str) -> list[Lock]:
    """The leases on files of a project, those that ran out included."""
    return db.all(Lock, _SQL["files"], {"first": f"{project}:", "beyond": f"{project};"})


def files_of(db: Reader, owner: str) -> list[Lock]:
    """The leases on files that `owner` has."""
    return db.all(Lock, _SQL["files_of"], (owner,))


def all_locks(db: Reader) -> list[Lock]:
    return db.all(Lock, _SQL["list"])


def conflict(held: Lock, clock: Clock) -> errors.LockConflictError:
    """The refusal that names the holder, since when, and until when."""
    since, until = rfc3339(clock.wall(held.acquired_at)), rfc3339(clock.wall(held.expires_at))
    return errors.LockConflictError(
        f"{held.resource} is locked by {held.owner_id} since {since}, until {until}",
        detail={"resource": held.resource, "holder": held.owner_id, "acquired_at": since, "expires_at": until},
    )


def _extended(tx: Transaction, held: Lock, ttl: float) -> Lock:
    extended = tx.one(Lock, _SQL["extend"], {**_identity(held), "expires_at": tx.steady + int(ttl * SECOND)})
    assert extended is not None, "found in the same transaction"
    return extended


def _check_ttl(ttl: float) -> None:
    if not SHORTEST_TTL <= ttl <= LONGEST_TTL:
        raise errors.InvalidTtlError(
            f"a lock's time to live is {ttl:g} s; it must be {SHORTEST_TTL} to {LONGEST_TTL} s",
            detail={"ttl": str(ttl), "least": SHORTEST_TTL, "most": LONGEST_TTL},
            suggestions=["ca lock acquire RESOURCE --ttl 300"],
        )


def _identity(lock: Lock) -> dict[str, str | int]:
    return {"type": lock.resource_type, "id": lock.resource_id, "owner": lock.owner_id, "fence": lock.fence}
