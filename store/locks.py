"""Locks: leases with an owner, an expiry and a fence; each function works inside the caller's transaction."""

from collections.abc import Iterable

from store import errors, rows
from store.clock import SECOND, rfc3339
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
    boot_id = tx.clock.boot_id
    held = tx.one(Lock, _SQL["get"], (resource_type, resource_id))
    if held is not None and not held.stale(tx.now, boot_id):
        if held.owner_id == owner:
            return renew(tx, held, ttl)
        raise conflict(held)
    bindings = {
        "type": resource_type,
        "id": resource_id,
        "owner": owner,
        "now": tx.now,
        "expires_at": tx.now + int(ttl * SECOND),
        "boot_id": boot_id,
        "fence": tx.scalar(_SQL["next_fence"]),
    }
    lock = tx.one(Lock, _SQL["put"], bindings)
    assert lock is not None, "INSERT OR REPLACE … RETURNING gives the row"
    return lock


def acquire_all(tx: Transaction, resources: Iterable[tuple[str, str]], owner: str, ttl: float = 300) -> list[Lock]:
    """All of several resources or, when one is refused and the transaction rolls back, none; in sorted order.

    Raises:
        LockConflictError: somebody else holds one of them.
    """
    return [acquire(tx, kind, name, owner, ttl) for kind, name in sorted(set(resources))]


def renew(tx: Transaction, lock: Lock, ttl: float) -> Lock:
    """Extend a lease that is still the owner's.

    Raises:
        LockExpiredError: it expired or was taken.
    """
    _check_ttl(ttl)
    held = check(tx, lock)
    bindings = {**_identity(held), "expires_at": tx.now + int(ttl * SECOND)}
    extended = tx.one(Lock, _SQL["extend"], bindings)
    assert extended is not None, "checked in the same transaction"
    return extended


def check(tx: Transaction, lock: Lock) -> Lock:
    """The fence: the lease as it stands, if `lock` is still what holds the resource.

    Raises:
        LockExpiredError: it expired, was released, or somebody else has it.
    """
    held = tx.one(Lock, _SQL["get"], (lock.resource_type, lock.resource_id))
    if held is None or held.fence != lock.fence or held.owner_id != lock.owner_id:
        raise errors.LockExpiredError(
            f"the lock on {lock.resource} is no longer held by {lock.owner_id}",
            detail={"resource": lock.resource, "fence": lock.fence, "holder": held.owner_id if held else None},
        )
    if held.stale(tx.now, tx.clock.boot_id):
        raise errors.LockExpiredError(
            f"the lock on {lock.resource} expired at {rfc3339(held.expires_at)}", detail={"resource": lock.resource}
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


def renew_all_for_owner(tx: Transaction, owner: str, ttl: float) -> int:
    """Extend every lease of `owner` that has not expired; how many."""
    bindings = {"owner": owner, "now": tx.now, "expires_at": tx.now + int(ttl * SECOND), "boot_id": tx.clock.boot_id}
    return len(tx.execute(_SQL["renew_all"], bindings))


def release_all_for_owner(tx: Transaction, owner: str) -> int:
    """How many leases `owner` had."""
    return len(tx.execute(_SQL["release_all"], (owner,)))


def cleanup_expired(tx: Transaction) -> int:
    """Remove leases that anybody may take over; how many."""
    return len(tx.execute(_SQL["cleanup"], {"now": tx.now, "boot_id": tx.clock.boot_id}))


def stale(db: Reader) -> list[Lock]:
    """Leases that anybody may take over."""
    return db.all(Lock, _SQL["stale"], {"now": db.clock.now(), "boot_id": db.clock.boot_id})


def get(db: Reader, resource_type: str, resource_id: str) -> Lock | None:
    return db.one(Lock, _SQL["get"], (resource_type, resource_id))


def all_locks(db: Reader) -> list[Lock]:
    return db.all(Lock, _SQL["list"])


def conflict(held: Lock) -> errors.LockConflictError:
    """The refusal that names the holder, since when, and until when."""
    return errors.LockConflictError(
        f"{held.resource} is locked by {held.owner_id} since {rfc3339(held.acquired_at)}, until {rfc3339(held.expires_at)}",
        detail={
            "resource": held.resource,
            "holder": held.owner_id,
            "acquired_at": rfc3339(held.acquired_at),
            "expires_at": rfc3339(held.expires_at),
        },
    )


def _check_ttl(ttl: float) -> None:
    if not SHORTEST_TTL <= ttl <= LONGEST_TTL:
        raise errors.InvalidTtlError(
            f"a lock's time to live is {ttl:g} s; it must be {SHORTEST_TTL} to {LONGEST_TTL} s", detail={"ttl": ttl}
        )


def _identity(lock: Lock) -> dict[str, str | int]:
    return {"type": lock.resource_type, "id": lock.resource_id, "owner": lock.owner_id, "fence": lock.fence}
