"""Locks for people and their scripts: what a resource is called, who may own one, and who is next when it becomes free.

Each call of `LockService` is one transaction on the leases of `store.locks`, with its event; a renewal has none, for nothing
changes hands. Waiting is here and nowhere else.
"""

import asyncio
import contextlib
import posixpath
import shlex
from collections.abc import Generator
from typing import NamedTuple

from daemon import lookup
from daemon.feed import Feed
from store import definitions, errors, jobs, locks, names, plans
from store.clock import SECOND, rfc3339
from store.database import Database, Reader, Transaction
from store.records import Event, Lock, Plan

TYPES = ("plan", "project", "file", "user")
LONGEST = 1024
"""Characters of a resource, and of an owner."""
JOB_OWNER = "job:"
DAEMON_OWNERS = (JOB_OWNER, "daemon:", "prune:", "rollback:", "undo:")
"""How the owners begin in whose names the daemon itself holds locks."""
LOOK_AGAIN = 1.0
"""Seconds between two looks at a lock that the daemon itself holds: it gives some of them back without an event."""


class Resource(NamedTuple):
    """What a lock is on."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


class _Queue:
    """Who waits for a resource, in the order in which they came; the first of them is the one who tries."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.length = 0


_queues: dict[Resource, _Queue] = {}


@contextlib.contextmanager
def _in_queue(resource: Resource) -> Generator[asyncio.Lock]:
    """Wait for a resource; the queue is gone with the last who waits."""
    queue = _queues.setdefault(resource, _Queue())
    queue.length += 1
    try:
        yield queue.turn
    finally:
        queue.length -= 1
        if not queue.length:
            del _queues[resource]


class LockService:
    """The locks of one store."""

    def __init__(self, db: Database, feed: Feed) -> None:
        self._db = db
        self._feed = feed

    async def acquire(self, resource: Resource, owner: str, ttl: float = 300, *, wait: float = 0) -> Lock:
        """Take a lease, or extend the owner's own; while somebody else has it, wait for at most `wait` seconds.

        Raises:
            InvalidTtlError: `ttl` is outside 5 to 3,600 seconds.
            LockConflictError: somebody else holds it, and still did when the time was over.
        """
        try:
            return await self._take(resource, owner, ttl)
        except errors.LockConflictError:
            if wait <= 0:
                raise
        return await self._take_in_turn(resource, owner, ttl, asyncio.get_running_loop().time() + wait)

    async def renew(self, resource: Resource, owner: str, ttl: float, *, fence: int | None = None) -> Lock:
        """Extend a lease of `owner`; with `fence` only that acquisition.

        Raises:
            InvalidTtlError: as for `acquire`.
            LockExpiredError: it expired, was released or taken over; nothing changed.
        """
        return await self._db.write(lambda tx: locks.renew(tx, _own(tx, resource, owner, fence), ttl))

    async def release(self, resource: Resource, owner: str, *, fence: int | None = None) -> Lock:
        """Give a lease of `owner` back; with `fence` only that acquisition. Returns it as it was.

        Raises:
            LockExpiredError: it is not the owner's any more; nothing changed.
        """

        def give_back(tx: Transaction) -> Lock:
            lock = _own(tx, resource, owner, fence)
            locks.release(tx, lock)
            _note(tx, "lock.released", lock)
            return lock

        return await self._db.write(give_back)

    async def release_all_for_owner(self, owner: str) -> int:
        """Give every lease of `owner` back; how many there were."""

        def give_back(tx: Transaction) -> int:
            for lock in locks.all_locks(tx):
                if lock.owner_id == owner:
                    _note(tx, "lock.released", lock)
            return locks.release_all_for_owner(tx, owner)

        return await self._db.write(give_back)

    async def cleanup_expired(self) -> list[Lock]:
        """Remove the leases that anybody may take over; returns them."""

        def clean(tx: Transaction) -> list[Lock]:
            removed = locks.cleanup_expired(tx)
            for lock in removed:
                _note(tx, "lock.expired", lock)
            return removed

        return await self._db.write(clean)

    def count_stale_locks(self) -> int:
        """How many leases anybody may take over."""
        return len(locks.stale(self._db.read))

    def list(self) -> list[Lock]:
        """Every lease, in the order of the resources."""
        return locks.all_locks(self._db.read)

    async def _take_in_turn(self, resource: Resource, owner: str, ttl: float, deadline: float) -> Lock:
        """Wait behind those who came before, then for the lock itself."""
        with _in_queue(resource) as turn:
            try:
                async with asyncio.timeout_at(deadline):
                    await turn.acquire()
            except TimeoutError:
                return await self._take(resource, owner, ttl)  # the refusal that holds now
            try:
                return await self._take_when_free(resource, owner, ttl, deadline)
            finally:
                turn.release()

    async def _take_when_free(self, resource: Resource, owner: str, ttl: float, deadline: float) -> Lock:
        while True:
            try:
                return await self._take(resource, owner, ttl)
            except errors.LockConflictError:
                if not await self._free(resource, deadline):
                    raise

    async def _take(self, resource: Resource, owner: str, ttl: float) -> Lock:
        """One try. Whoever goes away in the middle of it leaves no lock behind that nobody knows of."""

        def take(tx: Transaction) -> tuple[Lock, bool]:
            before = locks.get(tx, *resource)
            try:
                lock = locks.acquire(tx, *resource, owner, ttl)
            except errors.LockConflictError as error:
                assert before is not None, "somebody holds it"
                raise conflict(tx, before) from error
            new = before is None or before.fence != lock.fence
            if new:
                _note(tx, "lock.acquired", lock, taken_from=before.owner_id if before else None)
            return lock, new

        writing = asyncio.ensure_future(self._db.write(take))
        try:
            lock, _ = await asyncio.shield(writing)
        except asyncio.CancelledError:
            with contextlib.suppress(errors.CleverAgentsError):  # refused: there is nothing to give back
                lock, new = await writing
                if new:
                    await self.release(resource, owner, fence=lock.fence)
            raise
        return lock

    async def _free(self, resource: Resource, deadline: float) -> bool:
        """Until a look at the resource is worthwhile: False when `deadline` came before."""
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def look(_events: list[Event]) -> None:
            held = locks.get(self._db.read, *resource)
            if held is None or held.stale(self._db.clock):
                changed.set()

        with self._feed.listen(look):
            look([])
            while not changed.is_set() and loop.time() < deadline:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(deadline, loop.time() + self._pause(resource))):
                        await changed.wait()
                look([])
        return changed.is_set()

    def _pause(self, resource: Resource) -> float:
        """Seconds until the lease ends, if nobody renews it; its end is no event."""
        held = locks.get(self._db.read, *resource)
        if held is None:
            return 0.0
        left = max(0.0, (held.expires_at - self._db.clock.steady()) / SECOND)
        return left if of_a_user(held) else min(left, LOOK_AGAIN)


def resource(db: Reader, text: str) -> Resource:
    """The resource that `text` names; without a type it is of the type `user`.

    The others are `plan:PLAN`, `project:NAME` and `file:PROJECT:PATH`, and become what the daemon itself locks.

    Raises:
        InvalidArgumentError: it is empty, too long, has control characters, or is no path in a project.
        NotFoundError, AmbiguousError: there is no such plan or project, or several.
    """
    _check_text("resource", text)
    kind, colon, rest = text.partition(":")
    if not colon or kind not in TYPES:
        return Resource("user", text)
    if not rest:
        raise _malformed(f"{text!r} does not say which {kind}", text)
    match kind:
        case "plan":
            return Resource(kind, lookup.plan(db, rest).plan_id)
        case "project":
            return Resource(kind, _project(db, kind, rest))
        case "file":
            return Resource(kind, _file(db, rest))
        case _:
            return Resource(kind, rest)


def owner(text: str) -> str:
    """`text` as the owner of a lock.

    Raises:
        InvalidArgumentError: it is empty, too long, has control characters, or is one of the daemon's own.
    """
    _check_text("owner", text)
    if text.startswith(DAEMON_OWNERS):
        raise errors.InvalidArgumentError(
            f"owners that begin with {text.partition(':')[0]}: are the daemon's own",
            detail={"owner": text},
            suggestions=["call the owner something else, or leave --owner out"],
        )
    return text


def of_a_user(lock: Lock) -> bool:
    """Whether a person or a script holds it, and not the daemon."""
    return not lock.owner_id.startswith(DAEMON_OWNERS)


def refuse_while_locked(tx: Transaction, plan: Plan) -> None:
    """Refuse to apply a plan to a project that a user keeps to themselves.

    Raises:
        LockConflictError: there is one; the holder is named.
    """
    for project in plans.projects(tx, plan.plan_id):
        held = locks.get(tx, "project", project.project)
        if held is not None and of_a_user(held) and not held.stale(tx.clock):
            raise conflict(tx, held)


def _project(db: Reader, kind: str, text: str) -> str:
    """A project's name, as Apply locks it; one that was removed meanwhile can still be unlocked."""
    name = text if text.startswith("/") else names.parse_name(text, what="project name")
    if definitions.project(db, name) is None and locks.get(db, kind, name) is not None:
        return name
    return lookup.project(db, text).name


def _file(db: Reader, text: str) -> str:
    project, _, path = text.partition(":")
    normal = posixpath.normpath(path) if path else "."
    if not project or posixpath.isabs(path) or normal.split("/")[0] in {".", ".."}:
        raise _malformed(
            f"{text!r} is no file of a project; write PROJECT:PATH, the path relative to the project", text
        )
    return f"{_project(db, 'project', project)}:{normal}"


def _check_text(what: str, text: str) -> None:
    if not text.strip():
        raise _malformed(f"the {what} is empty", text)
    if len(text) > LONGEST:
        raise _malformed(f"the {what} has {len(text)} characters; {LONGEST} is the limit", text)
    if not text.isprintable():
        raise _malformed(f"the {what} {text!r} has control characters", text)


def _malformed(message: str, text: str) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(
        message, detail={"value": text[:LONGEST]}, suggestions=["ca lock acquire --help"]
    )


def _note(tx: Transaction, kind: str, lock: Lock, **detail: str | None) -> None:
    plan_id = lock.resource_id if lock.resource_type == "plan" else None
    shown: dict[str, object] = {"resource": lock.resource, "owner": lock.owner_id, "fence": lock.fence, **detail}
    tx.event(kind, plan_id=plan_id, job_id=None, **shown)


def _own(tx: Transaction, resource: Resource, owner: str, fence: int | None) -> Lock:
    """The owner's live lease.

    Raises:
        LockExpiredError: there is none, or it is of another fence.
    """
    held = locks.get(tx, *resource)
    if held is None:
        raise _lost(tx, resource, None, f"nobody holds {resource}; it expired or was released")
    if held.owner_id != owner:
        raise _lost(tx, resource, held, f"{owner} does not hold {resource}: {holder(tx, held)} does")
    if fence is not None and held.fence != fence:
        what = f"the lock on {resource} with fence {fence} is over; {owner} has it with fence {held.fence} by now"
        raise _lost(tx, resource, held, what)
    if held.stale(tx.clock):
        raise _lost(tx, resource, held, f"the lock of {owner} on {resource} expired at {_when(tx, held.expires_at)}")
    return held


def _lost(tx: Transaction, resource: Resource, held: Lock | None, message: str) -> errors.LockExpiredError:
    live = held if held is not None and not held.stale(tx.clock) else None
    return errors.LockExpiredError(
        message,
        detail={"resource": str(resource), "holder": live and live.owner_id, "fence": live and live.fence},
        suggestions=[f"ca lock acquire {shlex.quote(str(resource))}", "ca lock list"],
    )


def conflict(db: Reader, held: Lock) -> errors.LockConflictError:
    """The refusal that names the holder, since when and until when."""
    refusal = locks.conflict(held, db.clock)
    since, until = _when(db, held.acquired_at), _when(db, held.expires_at)
    what = _what(db, held)
    return errors.LockConflictError(
        f"{what} is locked by {holder(db, held)} since {since}, until {until} if it is not renewed",
        detail=refusal.detail,
        suggestions=[f"ca lock acquire {shlex.quote(held.resource)} --wait 60", "ca lock list"],
    )


def _what(db: Reader, lock: Lock) -> str:
    plan = plans.get(db, lock.resource_id) if lock.resource_type == "plan" else None
    return f"plan {plan.name}" if plan is not None else lock.resource


def holder(db: Reader, lock: Lock) -> str:
    """Who holds a lock, in words: a job with its plan."""
    job = jobs.get(db, lock.owner_id.removeprefix(JOB_OWNER)) if lock.owner_id.startswith(JOB_OWNER) else None
    plan = plans.get(db, job.plan_id) if job is not None else None
    return f"{lock.owner_id} of plan {plan.name}" if plan is not None else lock.owner_id


def _when(db: Reader, steady: int) -> str:
    return rfc3339(db.clock.wall(steady)) or ""
