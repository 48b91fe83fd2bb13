"""`ca lock`: leases that keep people, scripts and plans out of each other's way."""

import os
import pwd
import shlex
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from cleveragents_tui import client, wording
from cleveragents_tui.cli import lock_text
from cleveragents_tui.cli.commands import NameOf, Noun
from cleveragents_tui.cli.places import project_word
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, table
from cleveragents_tui.cli.watch import staying_connected
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views
from store import errors, names

command = Noun(
    "lock",
    help="Locks: leases on plans, projects, files, and on whatever you name.",
    examples=["ca lock run deploy --wait 60 -- ./deploy.sh", "ca lock acquire project:web --ttl 600", "ca lock list"],
)

_resource = click.argument("resource", type=NameOf("lock"))
_ttl = click.option(
    "--ttl", type=float, metavar="S", help="Seconds until it ends by itself, 5 to 3600; without it lock.ttl."
)
_wait = click.option(
    "--wait", type=click.FloatRange(min=0), default=0, metavar="S", help="Wait so long for whoever has it (exit 4)."
)
_owner = click.option("--owner", metavar="OWNER", help="In whose name; without it USER@HOST.")
_fence = click.option("--fence", type=int, metavar="N", help="Only if the lock still has this number.")


@command.verb("list", examples=["ca lock list"])
def list_(session: Session) -> Result[views.LocksView]:
    """Every lock: who holds it, and how long still."""
    return Result(session.call(protocol.LockList()), _list)


@command.verb(examples=["ca lock acquire deploy", "ca lock acquire project:web --ttl 600 --wait 60"])
@_resource
@_ttl
@_wait
@_owner
def acquire(
    session: Session, resource: str, *, ttl: float | None, wait: float, owner: str | None
) -> Result[views.LockView]:
    """Take a lock, or extend your own; prints its fence, a number that grows with every new owner."""
    lock = _acquire(session, resource, _me() if owner is None else owner, ttl, wait)
    if not session.out.structured:
        left = wording.seconds(lock.expires_at) - time.time()
        session.say(f"{lock_text.name(lock)} is locked by {lock.owner_id} for {wording.duration(left)}")
    return Result(lock, _number)


@command.verb(examples=["ca lock renew deploy", "ca lock renew deploy --fence 41 --ttl 600"])
@_resource
@_ttl
@_owner
@_fence
def renew(
    session: Session, resource: str, *, ttl: float | None, owner: str | None, fence: int | None
) -> Result[views.LockView]:
    """Extend your lock before it ends."""
    request = protocol.LockRenew(
        resource=_word(resource), owner=_me() if owner is None else owner, ttl=ttl, fence=fence
    )
    return Result(session.call(request), _number)


@command.verb(examples=["ca lock release deploy", "ca lock release deploy --fence 41"])
@_resource
@_owner
@_fence
def release(session: Session, resource: str, *, owner: str | None, fence: int | None) -> Result[views.LockView]:
    """Give your lock back."""
    request = protocol.LockRelease(resource=_word(resource), owner=_me() if owner is None else owner, fence=fence)
    return Result(session.call(request), _released)


@command.verb(
    "run", examples=["ca lock run deploy -- ./deploy.sh", "ca lock run project:web --wait 300 -- make release"]
)
@_resource
@_ttl
@_wait
@click.option("--owner", metavar="OWNER", help="In whose name; without it one of this run's own.")
@click.argument("command_words", metavar="-- CMD...", nargs=-1, required=True, type=NameOf("file"))
def run_(
    session: Session, resource: str, *, ttl: float | None, wait: float, owner: str | None, command_words: Sequence[str]
) -> Result[Any]:
    """Hold a lock while a command runs, and exit as it does; the command is ended when the lock is lost.

    The command finds CA_LOCK_RESOURCE and CA_LOCK_FENCE in its environment. With a structured format what it prints goes to
    stderr.
    """
    from cleveragents_tui.cli import lock_run  # noqa: PLC0415  only this verb starts a process

    name = f"{_me()}:{os.getpid()}-{os.urandom(3).hex()}" if owner is None else owner
    lock = _acquire(session, resource, name, ttl, wait)
    return lock_run.run(session, lock, ttl, command_words)


@command.verb(examples=["ca lock clean"])
def clean(session: Session) -> Result[views.LocksView]:
    """Remove the locks that have expired; they keep nobody out, so this only tidies up."""
    return Result(session.call(protocol.LockClean()), _cleaned)


def _acquire(session: Session, resource: str, owner: str, ttl: float | None, wait: float) -> views.LockView:
    """Take the lock, at once or in turn. Asked again after a lost connection: the same owner gets the same lock."""
    deadline = time.monotonic() + wait

    def take(connection: client.Client) -> views.LockView:
        request = protocol.LockAcquire(resource=_word(resource), owner=owner, ttl=ttl)
        try:
            return connection.call(request)
        except errors.LockConflictError as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            session.say(f"waiting: {error.message}")
            waiting = protocol.LockAcquire(resource=request.resource, owner=owner, ttl=ttl, wait=left)
            # What is no possible wait is for the daemon to refuse.
            return connection.call(waiting, timeout=min(names.MAX_DURATION, left) + client.REQUEST_SECONDS)

    return staying_connected(session, take, f"ca lock acquire {shlex.quote(resource)}")


def _me() -> str:
    """The owner of the locks that somebody takes by hand, or in a script of several commands."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container that runs as a number
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _word(resource: str) -> str:
    """How a resource is named to the daemon; the directory of a project may be relative here."""
    kind, colon, rest = resource.partition(":")
    return f"{kind}:{project_word(rest)}" if colon and kind == "project" else resource


def _number(lock: views.LockView, _look: Look) -> Iterable[str]:
    yield str(lock.fence)


def _released(lock: views.LockView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} {lock_text.name(lock)} is free"


_COLUMNS = (
    Column(), Column("RESOURCE", minimum=14), Column("OWNER", minimum=8), Column("FENCE", right=True, drop=2),
    Column("HELD", right=True, drop=1), Column("LEFT", right=True),
)  # fmt: skip


def _list(found: views.LocksView, look: Look) -> Iterable[str]:
    if not found.locks:
        yield look.dim("No locks.  Hold one while a command runs: ca lock run NAME -- CMD")
        return
    yield from table(look, _COLUMNS, [_row(lock, look.now) for lock in found.locks])
    stale = sum(lock.stale for lock in found.locks)
    if stale:
        yield look.dim(f"{wording.count(stale, 'lock')} expired; anybody may take {'it' if stale == 1 else 'them'}.")


def _row(lock: views.LockView, now: float) -> list[Cell | str]:
    mood = Mood.CANCELLED if lock.stale else Mood.RUNNING
    return [
        Cell(mood.sign, mood.tone),
        Cell(lock_text.name(lock), bold=not lock.stale),
        lock_text.holder(lock),
        str(lock.fence),
        Cell(wording.age(lock.acquired_at, now), Tone.WAITING),
        Cell(lock_text.left(lock, now).removesuffix(" left"), Tone.NEEDS_YOU if lock.stale else Tone.PLAIN),
    ]


def _cleaned(found: views.LocksView, look: Look) -> Iterable[str]:
    yield f"{look.mood(Mood.DONE)} removed {wording.count(found.total, 'expired lock')}"
    for lock in found.locks:
        yield wording.cut(f"  {lock_text.name(lock)}  {lock.owner_id}", look.width)
