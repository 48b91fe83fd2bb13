"""Locks, for people and their scripts."""

from daemon import locking, protocol, show, views
from daemon.calls import Call, Table
from daemon.locking import LockService
from store import errors, names
from store.records import Lock


async def acquire(call: Call, request: protocol.LockAcquire) -> views.LockView:
    if not 0 <= request.wait <= names.MAX_DURATION:
        raise errors.InvalidArgumentError(
            f"a wait of {request.wait:g} s is not possible; 0 to {names.MAX_DURATION} s are",
            detail={"wait": str(request.wait)},
            suggestions=["ca lock acquire RESOURCE --wait 60"],
        )
    resource, owner = locking.resource(call.services.db.read, request.resource), locking.owner(request.owner)
    lock = await _service(call).acquire(resource, owner, _ttl(call, request.ttl), wait=request.wait)
    return _shown(call, lock)


async def renew(call: Call, request: protocol.LockRenew) -> views.LockView:
    resource, owner = locking.resource(call.services.db.read, request.resource), locking.owner(request.owner)
    return _shown(call, await _service(call).renew(resource, owner, _ttl(call, request.ttl), fence=request.fence))


async def release(call: Call, request: protocol.LockRelease) -> views.LockView:
    resource, owner = locking.resource(call.services.db.read, request.resource), locking.owner(request.owner)
    return _shown(call, await _service(call).release(resource, owner, fence=request.fence))


def list_(call: Call, _request: protocol.LockList) -> views.LocksView:
    return _listed(call, _service(call).list())


async def clean(call: Call, _request: protocol.LockClean) -> views.LocksView:
    return _listed(call, await _service(call).cleanup_expired())


def _service(call: Call) -> LockService:
    return LockService(call.services.db, call.services.feed)


def _ttl(call: Call, given: float | None) -> float:
    return float(call.services.config.value("lock.ttl")) if given is None else given


def _shown(call: Call, lock: Lock) -> views.LockView:
    return show.lock(lock, call.services.db.clock)


def _listed(call: Call, found: list[Lock]) -> views.LocksView:
    return views.LocksView([_shown(call, lock) for lock in found], len(found))


TABLE: Table = {
    protocol.LockAcquire: acquire,
    protocol.LockRenew: renew,
    protocol.LockRelease: release,
    protocol.LockList: list_,
    protocol.LockClean: clean,
}
